package e2e

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/api"
)

// proxiesLeave: an operator takes a proxy out of service and back; the last one
// that is up stays unless that is forced.
func (s *scene) proxiesLeave(t *testing.T, ctx context.Context) {
	p1, p2 := s.Proxies[0], s.Proxies[1]
	s.notes(t, ctx)
	conn := s.client(t, ctx, p2)
	s.ctl(t, ctx, exitOK, "proxy", "unregister", p2.Name(), "--reason", "a test")
	s.status(t, ctx, p2, api.StatusUnreg)
	has(t, "zeroctl status", s.ctl(t, ctx, exitUnhealthy, "status").Stdout, "proxy "+p2.Name()+" is unreg")
	if got := value(t, ctx, conn, "SELECT 'reads go on'"); got != "reads go on" {
		t.Errorf("a read through %s: %q", p2.Name(), got)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := conn.ExecContext(ctx, insert("unregistered"))
		waiting <- err
	}()
	refused := refusal(t, ctx, s.Fleet, exitRefused, int(api.LastProxy), "proxy", "unregister", p1.Name(), "--reason", "a test")
	has(t, "proxy unregister", refused, p1.Name(), "the last one")
	s.status(t, ctx, p1, api.StatusUp)
	select {
	case err := <-waiting:
		t.Errorf("a write through a proxy that is unregistered was answered: %v", err)
	default:
	}
	s.ctl(t, ctx, exitOK, "proxy", "activate", p2.Name())
	s.status(t, ctx, p2, api.StatusUp)
	if err := <-waiting; err != nil {
		t.Errorf("the write that waited: %v", err)
	}
	s.ctl(t, ctx, exitOK, "proxy", "unregister", p2.Name(), "--reason", "a test")
	s.ctl(t, ctx, exitOK, "proxy", "unregister", p1.Name(), "--reason", "a test", "--force")
	for _, p := range s.Proxies {
		s.ctl(t, ctx, exitOK, "proxy", "activate", p.Name())
	}
	refusal(t, ctx, s.Fleet, exitBadInput, int(api.KeyMissing), "proxy", "activate", "nobody")
	refusal(t, ctx, s.Fleet, exitBadInput, int(api.KeyMissing), "proxy", "unregister", "nobody", "--reason", "x")
	s.healthy(t, ctx)
	s.noted(t, ctx, "unregistered", 1)
}

// directoriesTaken: a second proxy or agent on a directory that is in use is
// refused, and the first notices nothing.
func (s *scene) directoriesTaken(t *testing.T, ctx context.Context) {
	secret, err := s.Fleet.Secret("second", s.Password())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		program string
		of      *fleet.Proc
		args    []string
	}{
		{"zeroproxy", s.Proxies[0].Proc, []string{"--cluster", stage.Cluster, "--mysql", "127.0.0.1:0"}},
		{"zeroagent", s.Agents[0].Proc, []string{"--mysql", s.Servers[0].Addr(), "--password-ref", secret, "--replication-password-ref", secret}},
	} {
		data := filepath.Join(test.of.Dir(), "data")
		second := program(t, ctx, s.Fleet, failedDaemon, test.program, append(test.args,
			"--name", test.of.Name(), "--data", data, "--keepers", s.Fleet.KeeperAddrs(), "--http", "127.0.0.1:0")...)
		has(t, "a second "+test.program, second.Stderr+second.Stdout, data, "another process")
	}
}

// status waits until the keepers list a proxy with a status.
func (s *scene) status(t *testing.T, ctx context.Context, p *fleet.Proxy, want string) {
	t.Helper()
	eventually(t, ctx, 5*time.Second, p.Name()+" is to be "+want, func(ctx context.Context) error {
		var list api.ProxyListAnswer
		if err := ask(ctx, s.Fleet, &list, "proxy", "list"); err != nil {
			return err
		}
		for _, one := range list.Proxies {
			if one.ID == p.Name() && one.Status == want {
				return nil
			}
		}
		return errors.New("it is not")
	})
}

// proxyStops: SIGTERM lets a running transaction end, turns new clients away and
// takes the proxy off the list; then it comes back.
func (s *scene) proxyStops(t *testing.T, ctx context.Context) {
	p := s.Proxies[1]
	s.notes(t, ctx)
	running, idle := s.client(t, ctx, p), s.client(t, ctx, p)
	do(t, ctx, running, "BEGIN", insert("stopping"))
	do(t, ctx, idle, "SELECT 1")
	p.ExpectEnd()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, 5*time.Second, "new clients are turned away", func(ctx context.Context) error {
		if s.connects(ctx, p) {
			return errors.New("they are not")
		}
		return nil
	})
	do(t, ctx, running, insert("stopping"), "COMMIT")
	status, err := p.Wait(ctx)
	if err != nil || status.Code != 0 {
		t.Errorf("%s ended with %v, %v, want exit 0", p.Name(), status, err)
	}
	if _, err := idle.ExecContext(ctx, insert("stopping")); err == nil {
		t.Error("a session of a proxy that is gone still writes")
	}
	s.status(t, ctx, p, api.StatusUnreg)
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	s.status(t, ctx, p, api.StatusUp)
	do(t, ctx, s.client(t, ctx, p), insert("stopping"))
	s.noted(t, ctx, "stopping", 3)
}

// connects tells whether a new client can log in.
func (s *scene) connects(ctx context.Context, p *fleet.Proxy) bool {
	db, err := s.Open(p)
	if err != nil {
		return false
	}
	defer db.Close()
	return db.PingContext(ctx) == nil
}

// proxyKilled: after kill -9 a proxy serves again from where it was, an open
// transaction is rolled back, and a switch works.
func (s *scene) proxyKilled(t *testing.T, ctx context.Context) {
	p := s.Proxies[0]
	s.notes(t, ctx)
	other, open := s.client(t, ctx, s.Proxies[1]), s.client(t, ctx, p)
	do(t, ctx, s.client(t, ctx, p), insert("killed"))
	do(t, ctx, open, "BEGIN", insert("killed"))
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := open.ExecContext(ctx, "COMMIT"); err == nil {
		t.Error("a COMMIT through a proxy that is dead was acknowledged")
	}
	do(t, ctx, other, insert("killed"))
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	do(t, ctx, s.client(t, ctx, p), insert("killed"))
	s.healthy(t, ctx)
	s.switchTo(t, ctx, 1)
	do(t, ctx, s.client(t, ctx, p), insert("killed"))
	s.switchTo(t, ctx, 0)
	s.noted(t, ctx, "killed", 4)
}

// withoutKeepers: with no keeper alive a proxy that has run before serves reads,
// holds writes until keepers are back, and fails them, with the documented error,
// when that takes longer than hold_timeout.
func (s *scene) withoutKeepers(t *testing.T, ctx context.Context) {
	p, err := s.Fleet.StartProxy(ctx, fleet.ProxyConfig{Name: "alone", Cluster: stage.Cluster, NotReady: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Proxies = append(s.Proxies, p)
	s.status(t, ctx, p, api.StatusUp)
	s.notes(t, ctx)
	s.push(t, ctx, impatient.Replace(s.Config))
	do(t, ctx, s.client(t, ctx, p), insert("no keepers"))
	for _, k := range s.Keepers {
		if err := k.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, 5*time.Second, "a login", func(ctx context.Context) error {
		if !s.connects(ctx, p) {
			return errors.New("no")
		}
		return nil
	})
	reader, first, second := s.client(t, ctx, p), s.client(t, ctx, p), s.client(t, ctx, p)
	if n := value(t, ctx, reader, "SELECT COUNT(*) FROM notes WHERE note = 'no keepers'"); n != "1" {
		t.Errorf("a read without keepers: %s rows, want 1", n)
	}
	begin := time.Now()
	_, err = first.ExecContext(ctx, insert("no keepers"))
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok || e.Number != 1290 || !strings.Contains(e.Message, "code: 1000, host group ["+stage.Group+"] is not writable") {
		t.Errorf("a write that was held for hold_timeout: %v, want 1290 with code 1000", err)
	}
	if took := time.Since(begin); took < impatience || took > impatience+2*time.Second {
		t.Errorf("it was held for %v, hold_timeout is %v", took, impatience)
	}
	if got := value(t, ctx, first, "SELECT 'still here'"); got != "still here" {
		t.Errorf("the session after its write failed: %q", got)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := second.ExecContext(ctx, insert("no keepers"))
		waiting <- err
	}()
	startKeepers(t, ctx, s.Keepers)
	if err := <-waiting; err != nil {
		t.Errorf("a write that was held until the keepers were back: %v", err)
	}
	s.healthy(t, ctx)
	s.noted(t, ctx, "no keepers", 2)
	s.push(t, ctx, s.Config)
}

// impatience is hold_timeout of a configuration whose proxies do not hold writes
// for long: but for longer than an election and a lease. A proxy that was started
// again is let in when a lease that its last life may hold must be over.
const impatience = stage.Lease + 3*time.Second

var impatient = strings.NewReplacer("drain_timeout: 2s", "drain_timeout: 500ms", "fence_timeout: 2s", "fence_timeout: 500ms",
	"binlog_wait_time: 5s", "binlog_wait_time: 1s", "hold_timeout: 15s", "hold_timeout: "+impatience.String())
