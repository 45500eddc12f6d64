package mysql

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestKill ends servers that answer, that are stopped, and those that nobody has
// talked to yet, and tells when one is dead.
func TestKill(t *testing.T) {
	a, b, c := servers(t)
	for _, test := range []struct {
		name string
		n    *node
		met  bool // the agent has talked to it before
		stop bool
	}{{"answers", a, true, false}, {"is stopped", b, true, true}, {"was stopped before the agent started", c, false, true}} {
		t.Run(test.name, func(t *testing.T) {
			s := test.n.server(t)
			t.Cleanup(func() { restart(t, test.n) })
			if test.met {
				must[State](t)(s.State(t.Context()))
				p := must[Process](t)(s.Attach(t.Context(), test.n.dir))
				if p.PID != test.n.cmd.Process.Pid {
					t.Errorf("attached to %d, the server is %d", p.PID, test.n.cmd.Process.Pid)
				}
				if again := must[Process](t)(s.Attach(t.Context(), test.n.dir)); again != p {
					t.Errorf("attached to %+v, before to %+v", again, p)
				}
			}
			if s.Dead(t.Context(), test.n.dir) {
				t.Error("dead while it lives")
			}
			if test.stop {
				if err := test.n.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			for range 2 { // done already is done
				if err := s.Kill(ctx, test.n.dir); err != nil {
					t.Fatal(err)
				}
				if !s.Dead(t.Context(), test.n.dir) {
					t.Error("not dead")
				}
			}
			<-test.n.exited
		})
	}
}

// TestNotTheServer: nothing but the server at this data directory is held.
func TestNotTheServer(t *testing.T) {
	a, b, _ := servers(t)
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() })
	for name, pid := range map[string]int{"another program": sleeper.Process.Pid, "init": 1, "itself": os.Getpid(), "none": 0, "another server": b.cmd.Process.Pid} {
		if h, err := hold(pid, a.dir); !errors.Is(err, ErrNoProcess) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
	if pid := findProcess(a.dir); pid != a.cmd.Process.Pid {
		t.Errorf("found %d, want %d", pid, a.cmd.Process.Pid)
	}
	s := a.server(t, func(c *Config) { c.Socket = "" })
	if _, err := s.Attach(t.Context(), a.dir); !errors.Is(err, ErrNoProcess) {
		t.Errorf("over TCP: %v", err)
	}
	if s.Dead(t.Context(), a.dir) {
		t.Error("one that cannot be seen is not dead")
	}
}

// TestAliveWhileCommitsWait: commits that wait for an acknowledgement block the
// reading of the binary log's position, and that is no death.
func TestAliveWhileCommitsWait(t *testing.T) {
	a, b, c := servers(t)
	for _, n := range []*node{b, c} {
		n.exec(t, "STOP SLAVE")
	}
	s := a.server(t)
	for range 4 {
		conn := a.login(t, "app")
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = conn.ExecContext(context.Background(), "INSERT INTO t(v) VALUES (1)") // let go at the end
		}()
		t.Cleanup(func() { <-done })
	}
	t.Cleanup(func() { a.exec(t, semiSyncSourceOff) })
	eventually(t, "commits wait", func() bool { return a.status(t, "Rpl_semi_sync_master_wait_sessions") != "0" })
	for range 3 {
		began := time.Now()
		st := must[State](t)(s.State(t.Context()))
		if took := time.Since(began); took > 2*time.Second || !st.Reachable || st.SemiSync.WaitSessions == 0 {
			t.Errorf("after %v: %+v", took, st)
		}
	}
}
