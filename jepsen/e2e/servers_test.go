package e2e

import (
	"context"
	"errors"
	"testing"
	"time"
)

// recovery bounds how long an agent takes to make its server again what it is to
// be.
const recovery = 10 * time.Second

// serversRestarted: mysqld comes back read-only and with replication stopped, as
// its settings say, and its agent makes it again what it was.
func (s *scene) serversRestarted(t *testing.T, ctx context.Context) {
	s.notes(t, ctx)
	primary := s.group(t, ctx).Writable
	replica := s.Servers[1-primary]
	conn := s.client(t, ctx, s.Proxies[0])
	do(t, ctx, conn, insert("restarted"))

	t.Run("primary killed", func(t *testing.T) {
		if err := s.Servers[primary].Kill(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := s.Servers[primary].Start(ctx); err != nil {
			t.Fatal(err)
		}
		if v, err := s.Servers[primary].Value(ctx, "SELECT @@global.read_only"); err == nil && v != "1" {
			t.Log("its agent was quicker than this test") // it may be
		}
		s.readOnly(t, ctx, primary, "0")
		if v, err := s.Servers[primary].Value(ctx, "SELECT @@global.rpl_semi_sync_master_enabled"); err != nil || v != "1" {
			t.Errorf("the primary is writable with semi-sync %s, %v: commits are acknowledged that only it has", v, err)
		}
		t.Logf("writable again %v after the start", time.Since(begin).Round(time.Millisecond))
		do(t, ctx, s.client(t, ctx, s.Proxies[0]), insert("restarted"))
		s.noted(t, ctx, "restarted", 2)
	})
	t.Run("replica restarted", func(t *testing.T) {
		if err := replica.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		eventually(t, ctx, recovery, "replication", func(ctx context.Context) error {
			row, err := replica.Row(ctx, "SHOW SLAVE STATUS")
			if err == nil && (row["Slave_IO_Running"] != "Yes" || row["Slave_SQL_Running"] != "Yes") {
				err = errors.New("it does not run: IO " + row["Slave_IO_Running"] + ", SQL " + row["Slave_SQL_Running"])
			}
			return err
		})
		s.readOnly(t, ctx, 1-primary, "1")
		do(t, ctx, s.client(t, ctx, s.Proxies[0]), insert("restarted"))
		s.noted(t, ctx, "restarted", 3)
	})
	s.healthy(t, ctx)
	s.switchTo(t, ctx, 1-primary)
	s.switchTo(t, ctx, primary)
}

// readOnly waits until a server's read_only is that.
func (s *scene) readOnly(t *testing.T, ctx context.Context, i int, want string) {
	t.Helper()
	eventually(t, ctx, recovery, s.Servers[i].Name(), func(ctx context.Context) error {
		v, err := s.Servers[i].Value(ctx, "SELECT @@global.read_only")
		if err == nil && v != want {
			err = errors.New("read_only is " + v)
		}
		return err
	})
}

// replicaWritable: somebody makes a replica writable by hand. Its agent undoes
// that, and says so.
func (s *scene) replicaWritable(t *testing.T, ctx context.Context) {
	i := 1 - s.group(t, ctx).Writable
	if err := s.Servers[i].Exec(ctx, "SET GLOBAL read_only=0"); err != nil {
		t.Fatal(err)
	}
	s.readOnly(t, ctx, i, "1")
	has(t, "the agent's log", s.Agents[i].LogTail(20), "this server is not the primary, but writable: making it read-only")
	s.readOnly(t, ctx, 1-i, "0")
}
