package mysql

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestBypass: the accounts that read_only does not stop are found, but for the
// agent's and the administrators'.
func TestBypass(t *testing.T) {
	_, b, _ := servers(t)
	s := b.server(t, func(c *Config) { c.AdminUsers = []string{"root", "boss"} })
	if got, err := s.Bypass(t.Context()); err != nil || len(got) != 0 {
		t.Fatalf("a prepared server: %v, %v", got, err)
	}
	b.exec(t, "SET SESSION sql_log_bin=0; CREATE USER batch@'%'; GRANT READ_ONLY ADMIN ON *.* TO batch@'%'")
	t.Cleanup(func() { b.exec(t, "SET SESSION sql_log_bin=0; DROP USER batch@'%'") })
	if got, err := s.Bypass(t.Context()); err != nil || !slices.Equal(got, []string{"'batch'@'%'"}) {
		t.Errorf("found %v, %v", got, err)
	}
	named := b.server(t, func(c *Config) { c.AdminUsers = []string{"root", "boss", "batch"} })
	if got, err := named.Bypass(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("an administrator counts: %v, %v", got, err)
	}
}

// TestGreets: a server that is stopped says nothing to a new connection, one that
// goes on does, also to somebody whom it would not let in.
func TestGreets(t *testing.T) {
	_, b, _ := servers(t)
	s := b.server(t, func(c *Config) { c.User = "nobody" })
	if err := s.Greets(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	p, err := s.Attach(t.Context(), b.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	err = s.Greets(within(t, 300*time.Millisecond))
	if cerr := syscall.Kill(p.PID, syscall.SIGCONT); cerr != nil {
		t.Fatal(cerr)
	}
	if err == nil {
		t.Error("a stopped server has greeted")
	}
	if err := s.Greets(within(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
