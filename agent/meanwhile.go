package agent

import (
	"context"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
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

// aheadTimeout bounds what is done ahead of a promotion.
const aheadTimeout = 5 * time.Second

// rotateAhead begins a new binary log file at a candidate if the current one is
// long, while the primary is fenced: its replicas, for one of which the first commit waits,
// connect sooner then.
func (a *Agent) rotateAhead() {
	a.ahead.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), aheadTimeout)
		defer cancel()
		if err := a.db.Rotate(ctx, mysql.RotateAhead); err != nil {
			a.log.Warn("replicas may take long to connect to this candidate", "error", err)
		}
	})
}

// standByAhead ends the replication of a candidate that has all
// that its fenced source wrote, while the commit is written: it takes as long as all
// else of a promotion. When the switch is rolled back the level lets it
// replicate again, with the next heartbeat.
func (a *Agent) standByAhead(stamp api.Stamp) {
	a.ahead.Go(func() {
		if now := a.remembered().Stamp; now.Generation != stamp.Generation || now.Step > api.StepPromoting {
			return // it was paused: the switch went another way meanwhile
		}
		ctx, cancel := context.WithTimeout(context.Background(), aheadTimeout)
		defer cancel()
		if err := a.db.StandBy(ctx); err != nil {
			a.log.Debug("the promotion has to end replication", "error", err)
		}
	})
}
