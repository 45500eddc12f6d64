package mysql

import (
	"context"
	"fmt"
	"time"
)

// dialQueue bounds how many connections are being opened to one server. After a switch every session wants one at
// the same moment, and a server's listen backlog is short.
type dialQueue struct {
	slots chan struct{}
	users int // who has a slot or waits for one
}

// dialSlot waits for a slot at the server's queue, wait at most. release gives it back.
func (srv *Server) dialSlot(ctx context.Context, address string, wait time.Duration) (release func(), err error) {
	srv.dialMu.Lock()
	q := srv.dials[address]
	if q == nil {
		q = &dialQueue{slots: make(chan struct{}, srv.cfg.MaxDials)}
		srv.dials[address] = q
	}
	q.users++
	srv.dialMu.Unlock()
	leave := func() {
		srv.dialMu.Lock()
		defer srv.dialMu.Unlock()
		if q.users--; q.users == 0 {
			delete(srv.dials, address)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	select {
	case q.slots <- struct{}{}:
		return func() { <-q.slots; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, fmt.Errorf("wait to connect to %s: %w", address, context.Cause(ctx))
	}
}
