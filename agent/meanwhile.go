package agent

import (
	"context"

	"github.com/zerokeeper/zero/agent/mysql"
)

// meanwhile is a permit for a server whose role is being written to the disk: the
// server is not touched for good before that is done (R16).
type meanwhile struct {
	mysql.Permit
	done chan struct{} // closed when err is set
	err  error
}

// rememberMeanwhile writes the memory while what needs no decision is done to the
// server. The turn is held, and kept until remembered has returned.
func (a *Agent) rememberMeanwhile(m memory) (permit *meanwhile, remembered func()) {
	p := &meanwhile{Permit: a.lease, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = a.remember(m)
	}()
	return p, func() { <-p.done }
}

// durable waits until the memory is on the disk, or returns why it is not. It
// outlasts ctx: a disk that hangs hangs the order, as it would have before.
func (p *meanwhile) durable(context.Context) error {
	<-p.done
	return p.err
}

// Await waits for the disk, then for the lease.
func (p *meanwhile) Await(ctx context.Context) error {
	if err := p.durable(ctx); err != nil {
		return err
	}
	return p.Permit.Await(ctx)
}
