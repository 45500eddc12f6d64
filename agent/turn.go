package agent

import (
	"context"
	"errors"
	"sync"
)

// rank is who goes first with changes of the server's role.
type rank int

const (
	rankLevel  rank = iota // what a heartbeat's answer says: it is said again
	rankFollow             // the order to follow: it is given again
	rankOrder              // every other order: clients wait for it
)

// errGaveWay ends the context of a change that a higher rank waits for.
var errGaveWay = errors.New("gave way to an order")

// turn lets one change of the server's role run at a time. Whoever comes with a
// higher rank interrupts what runs and goes next, so that an order never waits
// for the seconds that a replica may need to connect.
type turn struct {
	mu     sync.Mutex
	holder *holder // nil: nobody
}

type holder struct {
	rank   rank
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when the turn was given back
}

// take waits for the turn until ctx ends. The context that it returns ends with
// ctx, or with the cause errGaveWay when a higher rank waits; release gives the
// turn back.
func (t *turn) take(ctx context.Context, r rank) (_ context.Context, release func(), err error) {
	for {
		taken, release, busy := t.try(ctx, r)
		if busy == nil {
			return taken, release, nil
		}
		if busy.rank < r {
			busy.cancel(errGaveWay)
		}
		select {
		case <-busy.over:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// try takes the turn if nobody has it, else says who has.
func (t *turn) try(ctx context.Context, r rank) (_ context.Context, release func(), busy *holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.holder != nil {
		return nil, nil, t.holder
	}
	ctx, cancel := context.WithCancelCause(ctx)
	h := &holder{rank: r, cancel: cancel, over: make(chan struct{})}
	t.holder = h
	return ctx, func() {
		cancel(nil)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.holder = nil
		close(h.over)
	}, nil
}
