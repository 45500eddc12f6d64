package transport

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// steady is how long a command connection must have lived for its end to be
// something new, rather than the next failure of a row.
const steady = time.Second

// errMoved: the keeper at the other end does not lead any more.
var errMoved = errors.New("the keeper does not lead any more")

// link is the one command connection of link mode.
type link struct {
	client *Client

	mu      sync.Mutex
	inv     *wire.Invoker // nil while there is none
	address string
	changed chan struct{} // closed when inv changes
	failure error         // why there is none
	over    bool          // Run has returned
}

// Run keeps one command connection to the leader until ctx ends or the client is closed:
// it dials, follows the leader, and dials again with a jittered back-off when the
// connection is lost. Calls use that connection while Run runs; an answer NotLeader to any
// of them moves it. OnConnect is told of each connection. It returns ctx's error.
func (c *Client) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(c.ctx, cancel)
	defer stop()
	l := &link{client: c, changed: make(chan struct{})}
	if !c.link.CompareAndSwap(nil, l) {
		return errors.New("run client: it runs already")
	}

	pause := pace{backoff: backoff{min: c.cfg.BackoffMin, max: c.cfg.BackoffMax}}
	hops := 0
	for ctx.Err() == nil {
		began := time.Now()
		followed, err := l.once(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > steady {
			pause.lost(time.Now())
			hops = 0
		}
		c.cfg.Logger.Debug("no command connection", "reason", err)
		l.set(nil, "", err)
		if hops++; followed && hops <= maxHops {
			continue
		}
		hops = 0
		pauseFor(ctx, pause.pause(time.Now()))
	}
	c.link.Store(nil)
	l.end()
	if c.ctx.Err() != nil {
		return ErrClientClosed
	}
	return ctx.Err()
}

// once makes one connection and keeps it for as long as it is of use. followed means
// that a leader was named, to be tried at once.
func (l *link) once(ctx context.Context) (followed bool, err error) {
	c := l.client
	address := c.guide.pick(time.Now())
	moved := make(chan bool, 1) // a NotLeader answer came: whether it named the leader
	cfg := c.cfg.Invoker
	observe := cfg.OnError
	cfg.OnError = func(inv *wire.Invoker, e *api.Error) {
		if observe != nil {
			observe(inv, e)
		}
		if e.Code == api.NotLeader {
			// Before the call that was refused returns: its next attempt must not go over
			// a connection that is about to be closed, and end unknown.
			l.retire(inv)
			_, ok := c.guide.follow(address, hintOf(e), time.Now())
			select {
			case moved <- ok:
			default:
			}
		}
	}
	inv, answer, err := c.connect(ctx, address, wire.ConnectionCommand, cfg)
	if err != nil {
		if ctx.Err() == nil {
			c.dialFailed(address, err)
			if hint := hintOf(err); hint.Address != "" {
				return c.guide.known().Address == hint.Address, err
			}
		}
		return false, err
	}
	if answer.MemberID != "" && answer.Leader.ID != answer.MemberID {
		inv.Stop(nil)
		_, ok := c.guide.follow(address, answer.Leader, time.Now())
		return ok, fmt.Errorf("%s: %w", address, api.ErrNotLeader)
	}
	c.guide.leads(address, answer.Leader)
	return l.hold(ctx, inv, address, answer.Leader, moved)
}

// hold serves the connection until it ends, moves, or OnConnect gives it up.
func (l *link) hold(ctx context.Context, inv *wire.Invoker, address string, leader api.LeaderHint, moved <-chan bool) (followed bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer inv.Stop(nil)
	defer cancel()
	gaveUp := make(chan error, 1)
	wg.Go(func() {
		reason := inv.Serve(ctx)
		l.client.cfg.Logger.Debug("command connection ended", "address", address, "reason", reason)
	})
	l.set(inv, address, nil)
	if onConnect := l.client.cfg.OnConnect; onConnect != nil {
		wg.Go(func() {
			if err := onConnect(ctx, inv, leader); err != nil {
				gaveUp <- err
			}
		})
	}
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-inv.Done():
		err = inv.Err()
		l.client.connectionLost(address, err)
	case followed = <-moved:
		err = errMoved
	case err = <-gaveUp:
		select {
		case followed = <-moved:
		default:
		}
	}
	l.set(nil, "", err)
	return followed, fmt.Errorf("command connection to %s: %w", address, err)
}

// set publishes the connection, or why there is none.
func (l *link) set(inv *wire.Invoker, address string, failure error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inv, l.address, l.failure = inv, address, failure
	close(l.changed)
	l.changed = make(chan struct{})
}

// retire takes inv out of use.
func (l *link) retire(inv *wire.Invoker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inv == inv {
		l.inv, l.address, l.failure = nil, "", errMoved
	}
}

// end sends those who wait elsewhere.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inv, l.over = nil, true
	close(l.changed)
}

// current is the connection, nil while there is none.
func (l *link) current() (*wire.Invoker, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inv, l.address
}

// wait is the connection as soon as there is one.
func (l *link) wait(ctx context.Context) (*wire.Invoker, error) {
	for {
		l.mu.Lock()
		inv, changed, failure, over := l.inv, l.changed, l.failure, l.over
		l.mu.Unlock()
		if over {
			return nil, fmt.Errorf("%w: the command connection is given up", wire.ErrNotSent)
		}
		if inv != nil && inv.Err() == nil {
			return inv, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if failure == nil {
				failure = errors.New("not connected yet")
			}
			return nil, fmt.Errorf("%w: no command connection: %w (%w)", wire.ErrNotSent, ctx.Err(), failure)
		}
	}
}

// attempt sends r over the connection.
func (l *link) attempt(ctx context.Context, r *request) (*wire.Response, error) {
	inv, err := l.wait(ctx)
	if err != nil {
		return nil, err
	}
	r.reached = true
	return inv.Call(ctx, r.name, r.meta(), r.body)
}
