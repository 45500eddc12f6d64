package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// pushTimeout bounds a push of a configuration.
const pushTimeout = 3 * time.Second

// mover asks for planned switches now and then, and pushes configurations, as an operator who knows nothing of the faults.
type mover struct {
	cancel          context.CancelFunc
	wg              sync.WaitGroup
	asked, accepted int
	pushes, pushed  int
}

// startMover asks about every pause, for any database.
func (d *Data) startMover(ctx context.Context, pause time.Duration) *mover {
	ctx, cancel := context.WithCancel(ctx)
	m := &mover{cancel: cancel}
	draw := d.run.newRand()
	m.wg.Go(func() {
		for ctx.Err() == nil {
			wait(ctx, pause/2+time.Duration(draw.Int64N(int64(pause))))
			d.move(ctx, m, draw)
		}
	})
	return m
}

func (d *Data) move(ctx context.Context, m *mover, draw *rand.Rand) {
	to := draw.IntN(len(d.Hosts))
	publish := draw.IntN(4) == 0
	if ctx.Err() != nil || d.still.Load() > 0 {
		return
	}
	if publish {
		m.pushes++
		bounded, cancel := context.WithTimeout(ctx, pushTimeout)
		defer cancel()
		if err := d.publish(bounded); err == nil {
			m.pushed++
		}
		return
	}
	m.asked++
	// Refused when that one is the primary, when another switch is open, and for every reason that a fault may give.
	if id, err := d.StartSwitch(ctx, to); err == nil {
		m.accepted++
		d.run.Timeline.Note("switch %s to %s was accepted", id, d.Hosts[to].Name())
	}
}

// moveOnce moves the primary to another database when nothing is wrong. It must work.
func (d *Data) moveOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	g, err := d.Group(ctx)
	if err != nil {
		return err
	}
	id, err := d.StartSwitch(ctx, (g.Writable+1)%len(d.Hosts))
	if err != nil {
		return err
	}
	s, err := d.Ended(ctx, id)
	if err == nil && s.State != "done" {
		err = fmt.Errorf("switch %s, which nothing disturbed, is %s: %s", id, s.State, s.Error)
	}
	return err
}

// stop ends it and records how often it asked.
func (m *mover) stop(r *Run) {
	m.cancel()
	m.wg.Wait()
	r.Stat("pushes_asked", m.pushes)
	r.Stat("pushes_done", m.pushed)
	r.Stat("moves_asked", m.asked)
	r.Stat("moves_accepted", m.accepted)
}
