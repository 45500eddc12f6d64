package transport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// maxHops is how many NotLeader answers one attempt follows.
const maxHops = 5

// manner is what may be done with a request whose outcome is unknown.
type manner int

const (
	callOnce  manner = iota // nothing: say so
	callQuery               // repeat it: it changes nothing
	callWrite               // repeat it: the keepers know it again by session and seq
)

// request is one request over all its attempts.
type request struct {
	name   string
	meta   func() wire.Meta // asked for each attempt
	body   []byte
	manner manner

	unknown bool // an attempt may have happened (callWrite)
	reached bool // an attempt had a connection
}

// verdict is what an attempt's end means for the request.
type verdict int

const (
	settled verdict = iota // this is the answer
	refused                // it surely did not happen: try again
	lost                   // it may have happened
)

// judge finds the verdict. resp is nil when there was no answer.
func judge(resp *wire.Response, err error) verdict {
	if err == nil {
		return settled
	}
	code, _ := api.CodeOf(err)
	if resp == nil && !errors.Is(err, wire.ErrNotSent) {
		return lost
	}
	if resp == nil {
		switch {
		case errors.Is(err, wire.ErrTooLarge), errors.Is(err, wire.ErrTooLong), errors.Is(err, wire.ErrMalformed), errors.Is(err, ErrClientClosed):
			return settled // it will not be sent at any time
		case code == api.BadRequest, code == api.Unauthenticated, code == api.Forbidden, code == api.ForeignCluster:
			return settled // the Hello was refused, and every keeper would
		}
		return refused
	}
	switch code {
	case api.NotLeader, api.NoLeader, api.NotReady, api.Busy:
		return refused
	case api.OutcomeUnknown, api.Deadline, api.Cancelled:
		return lost
	}
	return settled
}

// unexecuted reports whether the code of a settled answer says that this attempt was
// turned away before anything was done. It is then no news of an earlier one.
func unexecuted(err error) bool {
	code, _ := api.CodeOf(err)
	switch code {
	case api.BadRequest, api.UnknownRequest, api.Unauthenticated, api.Forbidden, api.TooLarge, api.RateLimited, api.SessionGone, api.ForeignCluster:
		return true
	}
	return errors.Is(err, wire.ErrNotSent)
}

// do makes attempts until one is settled or ctx ends.
func (c *Client) do(ctx context.Context, r *request) (*wire.Response, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	pause := backoff{min: c.cfg.BackoffMin, max: c.cfg.BackoffMax}
	var last error // of an attempt that did not end with ctx, if there was one
	for {
		resp, err := c.attempt(ctx, r)
		switch judge(resp, err) {
		case settled:
			if err != nil && r.unknown && unexecuted(err) {
				return nil, fmt.Errorf("call %s: %w: an earlier attempt may have happened, a later one failed: %w", r.name, api.ErrOutcomeUnknown, err)
			}
			return resp, err
		case lost:
			switch r.manner {
			case callOnce:
				if !errors.Is(err, api.ErrOutcomeUnknown) {
					err = fmt.Errorf("call %s: %w: %w", r.name, api.ErrOutcomeUnknown, err)
				}
				return resp, err
			case callWrite:
				r.unknown = true
			}
		}
		c.cfg.Logger.Trace("attempt failed", "name", r.name, "error", err)
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if ctx.Err() == nil {
			pauseFor(ctx, pause.wait())
		}
		if ctx.Err() != nil {
			return nil, c.gaveUp(ctx, r, last)
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// gaveUp is the error of a request whose time is over; last is its last attempt's.
func (c *Client) gaveUp(ctx context.Context, r *request, last error) error {
	switch {
	case r.unknown:
		return fmt.Errorf("call %s: %w: %w (last attempt: %w)", r.name, api.ErrOutcomeUnknown, ctx.Err(), last)
	case !r.reached:
		return fmt.Errorf("call %s: %w: %w (last attempt: %w)", r.name, ErrNoKeeper, ctx.Err(), last)
	case errors.Is(last, api.ErrOutcomeUnknown): // of a query, where it does not matter
		return fmt.Errorf("call %s: %w (last attempt: %v)", r.name, ctx.Err(), last)
	}
	return fmt.Errorf("call %s: %w (last attempt: %w)", r.name, ctx.Err(), last)
}

// attempt sends r once, to whoever is thought to lead, and again to whom that names.
func (c *Client) attempt(ctx context.Context, r *request) (*wire.Response, error) {
	if l := c.link.Load(); l != nil {
		return l.attempt(ctx, r)
	}
	address := c.guide.pick(time.Now())
	for hop := 0; ; hop++ {
		e, _, err := c.pool.get(ctx, address)
		if err != nil {
			if ctx.Err() == nil && c.dialFailed(address, err) {
				r.reached = true
			}
			return nil, err
		}
		r.reached = true
		resp, err := e.inv.Call(ctx, r.name, r.meta(), r.body)
		c.pool.put(e)
		switch code, _ := api.CodeOf(err); {
		case resp != nil && code == api.NotLeader:
			next, ok := c.guide.follow(address, hintOf(err), time.Now())
			if ok && hop < maxHops {
				address = next
				continue
			}
		case resp == nil && e.inv.Err() != nil:
			c.connectionLost(address, e.inv.Err())
		case code == api.NoLeader, code == api.NotReady:
			c.guide.denied(address)
		case resp != nil && judge(resp, err) == settled:
			c.guide.answered(address)
		}
		return resp, err
	}
}

// connectionLost notes the end of a connection to address. A silent peer may swallow
// the next dial too, and followers go on naming it until they have elected another:
// it is not tried again for a while.
func (c *Client) connectionLost(address string, reason error) {
	if errors.Is(reason, wire.ErrPeerSilent) {
		c.guide.unreachable(address, time.Now())
		return
	}
	c.guide.denied(address)
}

// dialFailed notes why no connection to address was made. It reports whether a keeper
// was there, and refused the Hello.
func (c *Client) dialFailed(address string, err error) (answered bool) {
	refusal, answered := errors.AsType[*api.Error](err)
	switch {
	case !answered:
		c.guide.unreachable(address, time.Now())
	case refusal.Code == api.NotLeader:
		c.guide.follow(address, hintOf(err), time.Now())
	default:
		c.guide.denied(address)
	}
	return answered
}
