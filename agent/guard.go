package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

const (
	// guardTick is how often the clock is read while a lease is held. Go's timers
	// do not count the time that the machine was suspended.
	guardTick = 50 * time.Millisecond
	// fenceRetry is the pause after a fence that failed at once.
	fenceRetry = 20 * time.Millisecond
	// lateGrace is what a server has to become read-only when its lease is over already.
	lateGrace = 50 * time.Millisecond
	// killTimeout bounds the wait for a killed server to be gone.
	killTimeout = 5 * time.Second
)

// startGrace is what a server has to become read-only at a start of the agent
// before it is killed, if it may have been writable: as at the end of a lease.
var startGrace = lease.For(lease.Default).Fence - lease.For(lease.Default).Kill

// granted takes from an answer what it says of leases. sent is when its heartbeat
// was sent.
func (a *Agent) granted(sent lease.Instant, answer api.HeartbeatAnswer) {
	a.mu.Lock()
	m, identity, pid := a.notes.memory, a.identity, a.pid
	a.mu.Unlock()
	if identity == "" {
		identity = m.ServerID
	}
	open := false
	for _, g := range answer.Grants {
		if g.HostGroup == m.HostGroup && g.Stamp.Compare(m.Stamp) < 0 && !ignoreStamps {
			return // R8: it is late, and neither gives nor takes
		}
		if !g.Open || g.Primary.Address != a.db.Address() || g.Primary.ServerID != "" && g.Primary.ServerID != identity {
			continue
		}
		open = true
		if answer.LeaseMS <= 0 {
			continue // R1: the keeper could not prove that it leads
		}
		times := lease.For(time.Duration(min(answer.LeaseMS, lease.Longest.Milliseconds())) * time.Millisecond)
		if err := times.Validate(); err != nil {
			a.warn(warnLease, "the keepers grant leases that cannot be kept: "+err.Error())
			continue
		}
		a.warn(warnLease, "")
		a.lease.grant(sent, times, g.Stamp) // R10
		if err := a.lease.save(a.cfg.DataDir, a.boot, identity, pid); err != nil {
			a.log.Warn("a restart of this agent will make the server read-only for a moment", "error", err)
		}
	}
	if !open {
		a.lease.shut() // R4
	}
}

// guard makes the server read-only before its lease ends, and kills it if it does
// not become so (R15). It has a goroutine and a connection of its own: nothing
// else that hangs on the server delays it.
func (a *Agent) guard(ctx context.Context) {
	for ctx.Err() == nil {
		is, _, pause := a.lease.overdue()
		if is {
			a.takeAway(ctx)
			pause = fenceRetry
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-a.lease.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// takeAway makes the server read-only: at D−F of its lease, or at a start without
// one. It returns when that is confirmed, when the server is dead, or when a new lease
// came in between; then the level makes it writable again.
func (a *Agent) takeAway(ctx context.Context) {
	began := lease.Now()
	killAt, _, held := a.lease.deadline()
	switch {
	case held: // also when the machine was suspended past the lease's end
		killAt = max(killAt, began.Add(lateGrace))
	case killAt < began:
		killAt = began.Add(startGrace)
	}
	_, count, _ := a.lease.overdue()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	fence := func() { done <- a.db.SetReadOnly(ctx) } // R15: without a statement limit
	go fence()
	running, again := true, false
	defer func() {
		cancel()
		if running {
			<-done
		}
		if again { // the statement may have taken effect all the same: the level undoes it
			poke(a.look)
		}
	}()
	var failure error
	for {
		timer := time.NewTimer(min(max(lease.Until(killAt), fenceRetry/4), fenceRetry))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case err := <-done:
			running = false
			if err == nil {
				a.lease.settle(count)
				a.acted(func(s *mysql.State) { s.ReadOnly = true })
				a.log.Info("read-only: no lease allows this server to be writable", "after", lease.Since(began))
				a.secure()
				return
			}
			failure = err
		case <-timer.C:
		}
		timer.Stop()
		if a.isDead() || !running && a.checkDead(ctx) {
			a.lease.settle(count)
			a.secure()
			return
		}
		if is, _, _ := a.lease.overdue(); !is {
			again = true
			return
		}
		if lease.Now() >= killAt && !a.spare(failure) {
			if err := a.kill(ctx, "it could not be made read-only before its lease ends"); err == nil {
				a.lease.settle(count)
				a.secure()
				return
			}
			killAt = lease.Now().Add(4 * fenceRetry)
		}
		if !running && lease.Since(began) > fenceRetry {
			running = true
			go fence()
		}
	}
}

// spare reports whether a server is left alone that is not read-only in time: one
// that no lease was given to, or whose keepers do not count on this process and
// that refuses the agent, by a wrong password for example. The agent sends no
// heartbeat then.
func (a *Agent) spare(failure error) bool {
	_, bound, held := a.lease.deadline()
	switch {
	case !bound:
		a.secure()
		return true
	case held || failure == nil:
		return false
	}
	return mysql.Answered(failure)
}

// kill ends the server's process. What sits in its sockets is gone with it, and
// no session that waits for an acknowledgement is told OK (R22).
func (a *Agent) kill(ctx context.Context, why string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	a.log.Error("killing the database server", "datasource", a.db.Address(), "why", why)
	if err := a.db.Kill(ctx, a.dataDir()); err != nil {
		a.warn(warnKill, "cannot kill the server: "+err.Error())
		a.log.Error("the database server could not be killed", "datasource", a.db.Address(), "error", err)
		return err
	}
	a.died()
	return nil
}

// secure notes that the server is in no way writable without a lease: from now on
// the agent may speak.
func (a *Agent) secure() { a.secureOnce.Do(func() { close(a.secured) }) }

// awaitSecure refuses requests of an agent that was just started (R14): it makes
// its server read-only before it answers anything.
func (a *Agent) awaitSecure(ctx context.Context) error {
	select {
	case <-a.secured:
		return nil
	default:
	}
	select {
	case <-a.secured:
		return nil
	case <-ctx.Done():
		return api.Errorf(api.NotReady, "this agent was just started and has not seen yet that its server is read-only: %v", ctx.Err())
	}
}

// writeUnsynced replaces a small file, whole or not at all, without a sync.
func writeUnsynced(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, path)
}
