package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
)

// What warnings are about.
const (
	warnKill    = "kill"
	warnStart   = "start"
	warnLease   = "lease"
	warnErrants = "errant"

	warnUnacked  = "unacknowledged" // commits wait for an acknowledgement
	warnUnsynced = "unsynced"       // they do not, and should
	warnBypass   = "bypass"
	warnHung     = "hung"
)

// deadLook is the pause between looks for a dead server that comes back.
const deadLook = 50 * time.Millisecond

// warn sets what an operator must know beside what the level says; an empty text
// takes it back.
func (a *Agent) warn(about, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.warnings[about] == text {
		return
	}
	if text == "" {
		delete(a.warnings, about)
		return
	}
	a.warnings[about] = text
	a.log.Error("this server needs a person", "datasource", a.db.Address(), "alarm", text)
}

// alarms is all that needs a person. mu is held.
func (a *Agent) alarms() string {
	var all []string
	if a.alarm != "" {
		all = append(all, a.alarm)
	}
	for _, about := range slices.Sorted(maps.Keys(a.warnings)) {
		all = append(all, a.warnings[about])
	}
	return strings.Join(all, "; ")
}

// dataDir is the server's data directory, empty if it was never seen.
func (a *Agent) dataDir() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state.DataDir != "" {
		return a.state.DataDir
	}
	return a.notes.DataDir
}

func (a *Agent) isDead() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dead
}

// died notes that the server's process is gone, and tells the keepers at once.
func (a *Agent) died() {
	a.mu.Lock()
	a.changes++
	told := a.dead
	a.dead, a.state.Reachable = true, false
	if !told {
		a.diedAt = time.Now()
	}
	a.mu.Unlock()
	if !told {
		a.log.Error("the database server is dead: its process is gone", "datasource", a.db.Address())
	}
	poke(a.hurry)
	poke(a.look)
}

// checkDead asks whether a server that does not answer is dead.
func (a *Agent) checkDead(ctx context.Context) bool {
	if a.isDead() {
		return true
	}
	if !a.db.Dead(ctx, a.dataDir()) {
		return false
	}
	a.died()
	return true
}

// mourn waits for the end of the server's process: it is known at once, however
// the agent's connections are.
func (a *Agent) mourn(ctx context.Context) {
	var gone <-chan struct{}
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-a.attached:
			gone = p.Gone
		case <-gone:
			gone = nil
			a.died()
		}
	}
}

// attach keeps the process of a server that was just seen in sight. One that is
// another than before has been started anew.
func (a *Agent) attach(ctx context.Context, seen mysql.State, answers bool) {
	p, err := a.db.Attach(ctx, a.dataDir())
	if err != nil {
		if answers || errors.Is(err, mysql.ErrCannotKill) {
			a.warn(warnKill, "cannot kill the server if its lease ends and it hangs: "+err.Error())
		}
		return
	}
	a.warn(warnKill, "")
	a.mu.Lock()
	before, dead := a.pid, a.wasDead
	a.pid = p.PID
	if answers {
		a.wasDead = false
	}
	a.mu.Unlock()
	if before != p.PID {
		select {
		case <-a.attached: // the one before
		default:
		}
		a.attached <- p // has room for one, and nobody else sends
	}
	if answers && (dead || before != 0 && before != p.PID) {
		a.cameBack(ctx, seen)
	}
}

// cameBack looks at a server that was started anew, before anything else is done
// to it (R21): whatever it was, it must have come up read-only and silent.
func (a *Agent) cameBack(ctx context.Context, seen mysql.State) {
	var wrong []string
	_, release, busy := a.turn.try(ctx, rankLevel)
	if busy != nil {
		a.lease.suspect() // an order is at it already
		return
	}
	defer release()
	if !seen.ReadOnly {
		wrong = append(wrong, "it came up writable: set read_only=1")
		a.lease.suspect()
		if err := a.db.SetReadOnly(ctx); err != nil {
			wrong = append(wrong, "it could not be made read-only: "+err.Error())
		} else {
			a.acted(func(s *mysql.State) { s.ReadOnly = true })
		}
	}
	if r := seen.Replication; r != nil && (r.IORunning != "No" || r.SQLRunning != "No") {
		wrong = append(wrong, "it began to replicate by itself, which deletes its relay log: set skip_slave_start")
	}
	if seen.SemiSync.ReplicaEnabled {
		wrong = append(wrong, "it acknowledges before the record names it: set rpl_semi_sync_slave_enabled=0")
	}
	text := ""
	if len(wrong) > 0 {
		text = "my.cnf: when the server was started, " + strings.Join(wrong, "; ")
	}
	a.log.Info("the database server was started anew", "datasource", a.db.Address(), "read_only", seen.ReadOnly)
	a.warn(warnStart, text)
}
