package mysql

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestWaitPosition(t *testing.T) {
	a, b, _ := servers(t)
	s := b.server(t)
	b.exec(t, "STOP SLAVE SQL_THREAD")
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	pos := a.value(t, "SELECT @@gtid_binlog_pos")

	start := time.Now()
	err := s.WaitPosition(t.Context(), pos, 300*time.Millisecond)
	late, ok := errors.AsType[*PositionTimeoutError](err)
	if !ok || late.Want != pos || late.Have != "" || late.Behind >= 0 || !errors.Is(err, ErrPositionTimeout) {
		t.Errorf("%v", err)
	}
	if took := time.Since(start); took < 300*time.Millisecond || took > 2*time.Second {
		t.Errorf("took %s", took)
	}

	done := make(chan error, 1)
	go func() { done <- s.WaitPosition(t.Context(), pos, 5*time.Second) }()
	b.exec(t, "START SLAVE SQL_THREAD")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.WaitPosition(t.Context(), pos, 0); err != nil {
		t.Errorf("a position that is reached, without time: %v", err)
	}
	if err := s.WaitPosition(t.Context(), "", time.Second); err != nil {
		t.Errorf("nothing to wait for: %v", err)
	}
	if err := s.WaitPosition(t.Context(), "0-1", time.Second); !errors.Is(err, ErrBadGTID) {
		t.Errorf("nonsense: %v", err)
	}
}

func TestWaitPositionCancelled(t *testing.T) {
	_, b, _ := servers(t)
	s := b.server(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.WaitPosition(ctx, "0-1-1000", time.Minute) }()
	waits := func() string {
		return b.value(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER=? AND INFO LIKE '%MASTER_GTID_WAIT%'", agentUser)
	}
	eventually(t, "it waits", func() bool { return waits() == "1" })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	eventually(t, "the server no longer waits", func() bool { return waits() == "0" })
}

func TestWaitPositionSeesBrokenReplication(t *testing.T) {
	a, b, _ := servers(t)
	b.exec(t, "SET SESSION sql_log_bin=0; INSERT INTO app.t(id) VALUES (1)")
	a.exec(t, "INSERT INTO app.t(id) VALUES (1)")
	start := time.Now()
	err := b.server(t).WaitPosition(t.Context(), a.value(t, "SELECT @@gtid_binlog_pos"), 30*time.Second)
	if e, ok := errors.AsType[*ReplicationError](err); !ok || e.Errno != 1062 || e.Thread != "sql" || !errors.Is(err, ErrReplication) {
		t.Errorf("%v", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %s", took)
	}
}
