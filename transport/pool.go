package transport

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// pool has one connection for each address that is in use, shared by all calls.
type pool struct {
	client *Client

	mu      sync.Mutex
	entries map[string]*pooled
	closed  bool
}

// pooled is a connection, or the attempt to make one.
type pooled struct {
	ready chan struct{} // closed when inv or err is set
	inv   *wire.Invoker
	err   error

	users int       // calls that hold it; guarded by the pool's mu
	used  time.Time // when the last of them ended
}

// get returns the connection to address, making it if need be; fresh says that this
// call made it. Give it back with put. Failures are ErrNotSent.
func (p *pool) get(ctx context.Context, address string) (e *pooled, fresh bool, err error) {
	e, fresh, err = p.take(address)
	if err != nil {
		return nil, false, fmt.Errorf("connect to %s: %w: %w", address, wire.ErrNotSent, err)
	}
	select {
	case <-e.ready:
		if e.err == nil {
			return e, fresh, nil
		}
		err = e.err
	case <-ctx.Done():
		err = fmt.Errorf("connect to %s: %w: %w", address, wire.ErrNotSent, ctx.Err())
	}
	p.put(e)
	return nil, fresh, err
}

func (p *pool) take(address string) (e *pooled, fresh bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, false, ErrClientClosed
	}
	e = p.entries[address]
	if e != nil && e.ended() {
		delete(p.entries, address)
		e = nil
	}
	if e == nil {
		if !p.makeRoom(time.Now()) {
			return nil, false, api.Errorf(api.Busy, "%d connections are in use", len(p.entries))
		}
		e, fresh = &pooled{ready: make(chan struct{})}, true
		p.entries[address] = e
		p.client.wg.Go(func() { p.serve(address, e) })
	}
	e.users++
	return e, fresh, nil
}

// ended reports whether e had a connection that is over.
func (e *pooled) ended() bool {
	select {
	case <-e.ready:
		return e.err != nil || e.inv.Err() != nil
	default:
		return false
	}
}

// makeRoom closes what was not used for long, and if that is not enough what was used
// longest ago. mu is held.
func (p *pool) makeRoom(now time.Time) bool {
	oldest := ""
	for address, e := range p.entries {
		select {
		case <-e.ready:
		default:
			continue
		}
		switch {
		case e.users > 0:
		case now.Sub(e.used) > p.client.cfg.IdleTime:
			p.drop(address, e)
		case oldest == "" || e.used.Before(p.entries[oldest].used):
			oldest = address
		}
	}
	if len(p.entries) >= p.client.cfg.MaxConns && oldest != "" {
		p.drop(oldest, p.entries[oldest])
	}
	return len(p.entries) < p.client.cfg.MaxConns
}

func (p *pool) drop(address string, e *pooled) {
	delete(p.entries, address)
	if e.inv != nil {
		e.inv.Stop(nil)
	}
}

func (p *pool) put(e *pooled) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.users--
	e.used = time.Now()
}

// serve connects and serves the connection until it ends. It does not hang on the
// context of the call that wanted it first: others wait for it too.
func (p *pool) serve(address string, e *pooled) {
	c := p.client
	inv, answer, err := c.connect(c.ctx, address, "", c.cfg.Invoker)
	if err == nil && answer.MemberID != "" {
		if answer.Leader.ID == answer.MemberID {
			c.guide.leads(address, answer.Leader)
		} else {
			c.guide.follow(address, answer.Leader, time.Now())
		}
	}
	e.inv, e.err = inv, err
	close(e.ready)
	if err == nil {
		reason := inv.Serve(c.ctx)
		c.cfg.Logger.Debug("connection ended", "address", address, "reason", reason)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.entries[address] == e {
		delete(p.entries, address)
	}
}

// close refuses further connections. Those that are there end with the client's context.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}
