package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// startAfter is for how long keepers have to know that a primary is dead, and take
// nobody else, until it is started as what it was. A failover begins much sooner.
const startAfter = lease.Default

// MayStart reports whether the server, which does not run, may be started with what
// stands in ServerConf, or why not yet. How a server that died has to be started is for
// its replicas to say: one that lost its role takes back what nobody acknowledged; one
// that keeps it must not, for MariaDB takes back with it what was acknowledged a moment
// ago. So whoever starts it waits until a keeper has decided. Nothing is risked by not
// waiting but a server that has to be built anew.
func (a *Agent) MayStart(ctx context.Context) error {
	select {
	case <-a.looked:
	default:
		return errors.New("this agent was just started, and has not looked at the server yet")
	}
	dead := a.checkDead(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	m, now := a.notes.memory, time.Now()
	heard := a.heard && a.answered.After(a.diedAt) && now.Sub(a.answered) < silence
	settled := len(a.grants) == 0 || m.Stamp.Step == api.StepIdle || m.Stamp.Generation == 0
	since := a.diedAt
	if a.contact.After(since) {
		since = a.contact
	}
	switch {
	case !dead: // it runs, or was never seen
		return nil
	case m.lost():
		return nil
	case !heard:
		return fmt.Errorf("no keeper has answered since the server died: whether it is still the primary is not known")
	case !settled:
		return fmt.Errorf("a switch is open, and takes the role away or gives it back (stamp %s)", m.Stamp)
	case now.Sub(since) < startAfter:
		return fmt.Errorf("the keepers have known for %v that the server is dead, and may take another within %v", now.Sub(since).Round(time.Millisecond), startAfter)
	}
	return nil
}

// againAsReplica ends a server that is in its recovery when its role turns out to be
// lost for good: it was started before ServerConf said so. What it has not yet
// committed by itself it takes back when it is started again.
func (a *Agent) againAsReplica() {
	if a.cfg.ServerConf == "" || !a.isDead() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	switch err := a.db.Kill(ctx, a.dataDir()); {
	case err == nil:
		a.log.Warn("the server was being started as a primary, and is not one any more: killed, to be started as a replica", "datasource", a.db.Address())
	case !errors.Is(err, mysql.ErrNoProcess):
		a.log.Warn("the server is being started as a primary, and is not one any more: it may have to be built anew", "datasource", a.db.Address(), "error", err)
	}
}
