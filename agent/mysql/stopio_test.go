package mysql

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStopWithSilentSource: a semi-sync replica whose source has fallen silent stops
// receiving at once. Alone, the server takes 2 s.
func TestStopWithSilentSource(t *testing.T) {
	// killConn is more than what the server takes, so that it cannot be what helps.
	const bound, killConn = 1500 * time.Millisecond, "SET GLOBAL rpl_semi_sync_slave_kill_conn_timeout=5"
	for _, test := range []struct {
		name string
		stop func(b, c *node, s *Server) error
	}{
		{"stop receiving", func(_, _ *node, s *Server) error { _, err := s.StopReceiving(t.Context()); return err }},
		{"drain", func(_, _ *node, s *Server) error { _, err := s.Drain(t.Context(), 5*time.Second); return err }},
		{"promote", func(_, _ *node, s *Server) error { _, err := s.Promote(t.Context(), free{}); return err }},
		{"follow another", func(_, c *node, s *Server) error { _, err := s.Follow(t.Context(), c.source()); return err }},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b, c := servers(t)
			a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
			caughtUp(t, a, b, c)
			b.exec(t, killConn)
			s := b.server(t)
			if err := s.Ping(t.Context()); err != nil { // the process is known by its connections
				t.Fatal(err)
			}
			silence(t, a)
			began := time.Now()
			err := test.stop(b, c, s)
			took := time.Since(began)
			t.Logf("took %s", took)
			if err != nil || took > bound {
				t.Errorf("took %s: %v", took, err)
			}
			if n := b.value(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND='Slave_IO'"); n != "0" && test.name != "follow another" {
				t.Errorf("%s io threads", n)
			}
		})
	}
}

// TestResumeAcknowledgesAtOnce: a replica that was stopped for a failover acknowledges
// again as soon as it receives: a lossless primary waits for it (R19).
func TestResumeAcknowledgesAtOnce(t *testing.T) {
	a, b, c := servers(t)
	c.exec(t, "STOP SLAVE")
	s := b.server(t)
	mend := silence(t, a)
	must[Received](t)(s.StopReceiving(t.Context()))
	mend()
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)") // hangs if nobody acknowledges
	if on := b.status(t, "Rpl_semi_sync_slave_status"); on != "ON" {
		t.Errorf("semi-sync of the replica is %s", on)
	}
	caughtUp(t, a, b)
}

// silence stops a server's process as the loss of its host would: nothing answers,
// nothing refuses.
func silence(t *testing.T, n *node) (mend func()) {
	t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	mend = func() { _ = n.cmd.Process.Signal(syscall.SIGCONT) }
	t.Cleanup(mend)
	return mend
}

func TestWakeable(t *testing.T) {
	for _, test := range []struct{ name, status, refused string }{
		{"a server", "Name:\tmariadbd\nNSpid:\t123\nSigCgt:\t00000001000066e9\n", ""},
		{"no namespaces", "SigCgt:\t0000000000000200\n", ""},
		{"would die of it", "NSpid:\t123\nSigCgt:\t0000000100000000\n", "does not handle"},
		{"in a container", "NSpid:\t123\t1\nSigCgt:\t00000001000066e9\n", "namespace"},
		{"says nothing", "Name:\tmariadbd\n", "signals"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := wakeable([]byte(test.status))
			if (err == nil) != (test.refused == "") || err != nil && !strings.Contains(err.Error(), test.refused) {
				t.Errorf("%v", err)
			}
		})
	}
}
