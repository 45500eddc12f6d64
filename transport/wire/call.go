package wire

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// call is an own call that waits for its answer. All but done is guarded by the
// invoker's mu until done is closed.
type call struct {
	done    chan struct{}
	resp    Response
	err     *api.Error // the answer's, when its code is not OK
	lost    bool       // the connection ended
	written uint64     // how far the stream had got when it did
	partial bool       // a first part came, with:
	code    api.Code
	errMsg  string
}

// Call sends a two-way request and waits for its answer until ctx ends; without
// a deadline ctx gets CallTimeout. What is left of the deadline travels along.
//
// An answer whose code is not OK is an [*api.Error], together with the Response that has
// its data and metadata. Failures of the call itself come without a Response: one that
// surely did not reach the peer is ErrNotSent; one that may have is [api.ErrOutcomeUnknown],
// be it that the connection or that ctx ended. Both also carry their cause, so that
// errors.Is finds context.DeadlineExceeded. When ctx ends the peer is told to cancel.
func (inv *Invoker) Call(ctx context.Context, name string, meta Meta, body []byte) (*Response, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, inv.cfg.CallTimeout)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return nil, notSent(name, err)
	}
	id, c, err := inv.register()
	if err != nil {
		return nil, notSent(name, err)
	}
	inv.cfg.Counters.Calls.Add(1)
	end, err := inv.out.put(ctx, &Message{Kind: KindRequest, ID: id, Name: name, Meta: withDeadline(ctx, meta), Body: body}, patient, false)
	if err != nil {
		inv.forget(id)
		return nil, notSent(name, err)
	}
	inv.out.signal()

	select {
	case <-c.done:
	case <-ctx.Done():
		if inv.forget(id) {
			if _, err := inv.out.put(ctx, &Message{Kind: KindCancel, ID: id}, urgent, false); err == nil {
				inv.out.signal()
			}
			return nil, outcomeUnknown(name, ctx.Err())
		}
		<-c.done // the answer came at the same moment
	}
	switch {
	case c.lost && c.written < end:
		return nil, notSent(name, &connError{inv.Err()})
	case c.lost:
		return nil, outcomeUnknown(name, inv.Err())
	case c.err != nil:
		if inv.cfg.OnError != nil {
			inv.cfg.OnError(inv, c.err)
		}
		return &c.resp, c.err
	}
	return &c.resp, nil
}

// Send sends a one-way call. It returns when the call is in the write queue; there
// is no way to learn what became of it after that.
func (inv *Invoker) Send(ctx context.Context, name string, meta Meta, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, inv.cfg.CallTimeout)
	defer cancel()
	if _, err := inv.out.put(ctx, &Message{Kind: KindOneWay, Name: name, Meta: meta, Body: body}, patient, false); err != nil {
		return notSent(name, err)
	}
	inv.out.signal()
	return nil
}

// withDeadline adds what is left of ctx's deadline, unless meta names one.
func withDeadline(ctx context.Context, meta Meta) Meta {
	deadline, ok := ctx.Deadline()
	if _, set := meta.Lookup(api.MetaDeadline); set || !ok {
		return meta
	}
	left := max(time.Until(deadline).Milliseconds(), 1)
	return meta.With(api.MetaDeadline, strconv.FormatInt(left, 10))
}

// register makes a call and its id.
func (inv *Invoker) register() (uint64, *call, error) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if inv.reason != nil {
		return 0, nil, &connError{inv.reason}
	}
	if len(inv.calls) >= inv.cfg.MaxPending {
		return 0, nil, api.Errorf(api.Busy, "%d calls wait for answers on this connection", len(inv.calls))
	}
	inv.lastID++
	c := &call{done: make(chan struct{})}
	inv.calls[inv.lastID] = c
	return inv.lastID, c, nil
}

// forget takes a call off the list; false means that it was already answered.
func (inv *Invoker) forget(id uint64) bool {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	c, ok := inv.calls[id]
	if ok {
		inv.unlist(id, c)
	}
	return ok
}

// unlist takes c off the list. mu is held.
func (inv *Invoker) unlist(id uint64, c *call) {
	delete(inv.calls, id)
	if c.partial {
		inv.assembling -= len(c.resp.Data)
	}
}

// loseCalls ends every call that waits; written is how far the stream got.
func (inv *Invoker) loseCalls(written uint64) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	for id, c := range inv.calls {
		inv.unlist(id, c)
		c.lost, c.written = true, written
		close(c.done)
	}
}

// answered takes a response or a part of one. The error ends the connection.
func (inv *Invoker) answered(m *Message) error {
	inv.mu.Lock()
	tooLarge, err := inv.collect(m)
	inv.mu.Unlock()
	if err != nil || !tooLarge {
		return err
	}
	if _, err := inv.out.put(inv.base, &Message{Kind: KindCancel, ID: m.ID}, urgent, false); err != nil {
		return err
	}
	inv.out.signal()
	return nil
}

// collect adds m to the answer that it belongs to. mu is held. When the answer
// grew too large its call has failed, and the peer should be told to stop.
func (inv *Invoker) collect(m *Message) (tooLarge bool, err error) {
	c, ok := inv.calls[m.ID]
	if !ok {
		if m.ID != pingID {
			inv.cfg.Counters.LateAnswers.Add(1)
		}
		return false, nil
	}
	switch {
	case m.Kind == KindPart && !c.partial:
		return false, fmt.Errorf("%w: a part of an answer that has not begun", ErrProtocol)
	case m.Kind == KindPart:
	case c.partial && (m.Code == api.OK || m.More):
		return false, fmt.Errorf("%w: a second answer within the first", ErrProtocol)
	case !m.More: // whole, or the peer gave up within its parts
		inv.unlist(m.ID, c)
		c.resp = Response{Data: m.Data, Meta: m.Meta}
		c.finish(m.Code, m.ErrMsg)
		return false, nil
	default:
		c.partial = true
		c.resp.Meta, c.code, c.errMsg = m.Meta, m.Code, m.ErrMsg
	}
	have := len(c.resp.Data)
	if have+len(m.Data) > inv.maxAnswer || inv.assembling+len(m.Data) > 2*inv.maxAnswer {
		inv.unlist(m.ID, c)
		c.resp = Response{}
		c.finish(api.TooLarge, fmt.Sprintf("the answer is above %d bytes, or all unfinished ones together above twice of it", inv.maxAnswer))
		return true, nil
	}
	if have+len(m.Data) > cap(c.resp.Data) {
		c.resp.Data = slices.Grow(c.resp.Data, max(len(m.Data), have))
	}
	c.resp.Data = append(c.resp.Data, m.Data...)
	inv.assembling += len(m.Data)
	if !m.More {
		inv.unlist(m.ID, c)
		c.finish(c.code, c.errMsg)
	}
	return false, nil
}

// finish ends a call that is off the list and whose resp is set.
func (c *call) finish(code api.Code, errMsg string) {
	if code != api.OK {
		c.err = &api.Error{Code: code, Msg: errMsg, Data: string(c.resp.Data)}
	}
	close(c.done)
}
