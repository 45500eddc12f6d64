package agent

import (
	"context"
	"errors"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// deathNotice is how much later than the end of its connections the end of a process is
// known: files are closed first.
const deathNotice = 300 * time.Millisecond

var errDied = errors.New("the server's process has ended")

// whileAlive is ctx until the server's process ends: what waits for something else than
// the server, such as a lease, would not notice. Where the process cannot be found it is ctx.
func (a *Agent) whileAlive(ctx context.Context) (context.Context, func()) {
	alive, cancel := context.WithCancelCause(ctx)
	p, err := a.db.Attach(ctx, a.dataDir())
	if err != nil {
		return alive, func() { cancel(nil) }
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-p.Gone:
			cancel(errDied)
		case <-alive.Done():
		}
	}()
	return alive, func() { cancel(nil); <-watched }
}

// unlessDead makes the error of an order that needs a living server final if it is dead:
// there is no use in giving it again.
func (a *Agent) unlessDead(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	wait := time.Duration(0)
	switch code, _ := api.CodeOf(err); code {
	case api.MySQLUnreachable, api.OutcomeUnknown:
		wait = deathNotice
	}
	for until := time.Now().Add(wait); !a.checkDead(ctx); {
		if ctx.Err() != nil || !time.Now().Before(until) {
			return err
		}
		pause := time.NewTimer(deadLook)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
	return api.Errorf(api.ServerDead, "%s is dead: %v", a.db.Address(), err)
}
