package mysql

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ackTimeoutMS is how long a commit waits for its acknowledgement before
// semi-sync would turn itself off: ten years, so that it never does so in silence.
// Within a day, for example, falls a weekend on which writes of a lossless group wait.
const ackTimeoutMS = "315360000000"

// leastTimeoutMS is ackTimeoutMS as the server reads it back.
const leastTimeoutMS = 315_360_000_000

// Sound reports whether the source's side never turns itself off and waits for the
// acknowledgement before others see what was written; else why not.
func (ss SemiSync) Sound() (ok bool, why string) {
	switch {
	case ss.WaitPoint != "AFTER_SYNC":
		return false, "the wait point must be AFTER_SYNC: otherwise others see what may be lost"
	case ss.TimeoutMS < leastTimeoutMS:
		return false, "rpl_semi_sync_master_timeout must be " + ackTimeoutMS + " ms: otherwise semi-sync ends in silence"
	case !ss.WaitNoReplica:
		return false, "rpl_semi_sync_master_wait_no_slave must be ON"
	}
	return true, ""
}

// SourceOn is s as SemiSyncSource(true) leaves it; whether commits do wait, the
// server says.
func (ss SemiSync) SourceOn() SemiSync {
	ss.SourceEnabled, ss.WaitPoint, ss.TimeoutMS, ss.WaitNoReplica, ss.ReplicaEnabled = true, "AFTER_SYNC", leastTimeoutMS, true, false
	return ss
}

// ManagesSemiSync reports whether the agent sees to semi-sync on this server.
func (s *Server) ManagesSemiSync() bool { return s.cfg.SemiSync }

const (
	semiSyncSourceOn = "SET GLOBAL rpl_semi_sync_slave_enabled=0, GLOBAL rpl_semi_sync_master_wait_point='AFTER_SYNC', " +
		"GLOBAL rpl_semi_sync_master_timeout=" + ackTimeoutMS + ", GLOBAL rpl_semi_sync_master_wait_no_slave=1, " +
		"GLOBAL rpl_semi_sync_master_enabled=1"
	semiSyncSourceOff  = "SET GLOBAL rpl_semi_sync_master_enabled=0"
	semiSyncReplicaOn  = "SET GLOBAL rpl_semi_sync_slave_kill_conn_timeout=" + killConnSeconds + ", GLOBAL rpl_semi_sync_slave_enabled=1"
	semiSyncReplicaOff = "SET GLOBAL rpl_semi_sync_slave_enabled=0"
)

// SemiSyncSource turns the source's side on or off. Off lets commits that wait
// for an acknowledgement go on and tells their clients OK: record that the group
// is degraded first (R20), and never do it to a server that is being demoted.
func (s *Server) SemiSyncSource(ctx context.Context, on bool) error {
	statement := semiSyncSourceOff
	if on {
		statement = semiSyncSourceOn
	}
	return s.change(ctx, "semi-sync source", func(c *session) error {
		return c.exec(ctx, "set semi-sync source", statement)
	})
}

// SemiSyncReplica turns the replica's acknowledgements on or off and confirms
// it. The server applies a change when its IO thread connects, so a running one
// is restarted; the SQL thread is left alone.
func (s *Server) SemiSyncReplica(ctx context.Context, on bool) error {
	return s.change(ctx, "semi-sync replica", func(c *session) error {
		r, err := c.replica(ctx)
		if errors.Is(err, ErrNotReplica) && !on { // nothing acknowledges, and nothing will
			return c.exec(ctx, "set semi-sync replica", replicaStatement(false))
		}
		if err != nil {
			return err
		}
		if err := c.exec(ctx, "set semi-sync replica", replicaStatement(on)); err != nil {
			return err
		}
		active, err := c.acknowledges(ctx)
		if err != nil || active == on || r.IORunning == "No" {
			return err
		}
		if r.SQLRunning != "Yes" { // stopping the IO thread too would put the relay log at risk
			return fmt.Errorf("%w: the sql thread does not run: resume it first", ErrReplication)
		}
		if err := c.stopIO(ctx); err != nil {
			return err
		}
		if err := c.exec(ctx, "start io thread", "START SLAVE IO_THREAD"); err != nil {
			return err
		}
		if r, err = c.awaitConnected(ctx, s.cfg.StatementTimeout); err != nil {
			return err
		}
		if active, err = c.acknowledges(ctx); err == nil && active != on {
			err = fmt.Errorf("the replica of %s is connected and its semi-sync is still %t", r.Source(), active)
		}
		return err
	})
}

func replicaStatement(on bool) string {
	if on {
		return semiSyncReplicaOn
	}
	return semiSyncReplicaOff
}

// stopSource turns the source's side off on a replica. Left on, as it is after a
// start of the server, it makes the SQL thread wait for acknowledgements of its
// own. A client's commit that waits is not released (R22).
func (c *session) stopSource(ctx context.Context) error {
	now, err := c.clients(ctx, clientsQuery)
	if err != nil {
		return err
	}
	if err := waitingForAck(now); err != nil {
		return err
	}
	return c.exec(ctx, "turn semi-sync source off", semiSyncSourceOff)
}

// acknowledges reports whether the IO thread acknowledges what it receives.
func (c *session) acknowledges(ctx context.Context) (bool, error) {
	st, err := c.settings(ctx, "read semi-sync status", "SHOW GLOBAL STATUS WHERE Variable_name='Rpl_semi_sync_slave_status'")
	return st.on("Rpl_semi_sync_slave_status"), err
}

// awaitConnected waits until the IO thread receives. An error of it that no
// retry will cure ends the wait.
func (c *session) awaitConnected(ctx context.Context, timeout time.Duration) (*Replication, error) {
	start := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		r, err := c.replica(ctx)
		if err != nil {
			return r, err
		}
		// It calls itself connected before the source has refused its position;
		// what the source sends first is the name of its file.
		if r.IORunning == "Yes" && r.IOErrno == 0 && r.SourceFile != "" {
			return r, nil
		}
		late := time.Since(start) >= timeout
		if r.IOErrno != 0 && (late || r.IORunning == "No" || !retried(r.IOErrno)) {
			return r, &ReplicationError{Thread: "io", Errno: r.IOErrno, Text: r.IOError}
		}
		if late {
			return r, fmt.Errorf("%w: io thread is %q after %s", ErrSourceUnreachable, r.IORunning, timeout)
		}
		if err := sleep(ctx, pause); err != nil {
			return r, err
		}
	}
}

// retried reports whether an error of the IO thread may cure itself.
func retried(errno uint) bool {
	return (&ReplicationError{Errno: errno}).kind() == ErrSourceUnreachable
}

// change runs one operation that changes the server.
func (s *Server) change(ctx context.Context, what string, f func(*session) error) error {
	end, err := s.begin(ctx, what)
	if err != nil {
		return err
	}
	defer end()
	c, err := s.workSession(ctx)
	if err == nil {
		err = f(c)
		c.close()
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", what, s.cfg.Address, err)
	}
	return nil
}
