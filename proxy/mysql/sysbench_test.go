package mysql

import (
	"bytes"
	"net"
	"os/exec"
	"testing"
	"time"
)

// TestSwitchUnderSysbench is a planned switch, there and back, under sysbench's oltp_read_write with server-side
// prepared statements: sysbench stops at the first error that it sees.
func TestSwitchUnderSysbench(t *testing.T) {
	if _, err := exec.LookPath("sysbench"); err != nil {
		t.Skip("SKIPPED: sysbench is not installed")
	}
	a, b := servers(t)
	replicate(t, a, b)
	p := newProxy(t, a.addr)
	a.exec(t, "CREATE DATABASE sw")
	_, portNumber, err := net.SplitHostPort(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	sysbench := func(args ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "sysbench", append([]string{"oltp_read_write", "--mysql-host=127.0.0.1",
			"--mysql-port=" + portNumber, "--mysql-user=" + testUser, "--mysql-password=" + testPassword, "--mysql-db=sw",
			"--tables=2", "--table-size=2000", "--threads=8", "--time=30", "--db-ps-mode=auto"}, args...)...)
	}
	if out, err := sysbench("prepare").CombinedOutput(); err != nil {
		t.Fatalf("prepare: %v\n%s", err, out)
	}
	run := sysbench("run")
	var out bytes.Buffer
	run.Stdout, run.Stderr = &out, &out
	start := time.Now()
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- run.Wait() }()
	on, other := a, b
	for i := range 3 {
		before := total(p)
		eventually(t, "sysbench works", func() bool { return total(p) > before+5000 || len(done) > 0 })
		if len(done) > 0 {
			break
		}
		t.Logf("switch %d: writes held for %v", i+1, p.switchTo(t, on, other))
		on, other = other, on
	}
	before := total(p)
	eventually(t, "sysbench works after the last switch", func() bool { return total(p) > before+5000 || len(done) > 0 })
	if len(done) > 0 {
		t.Errorf("sysbench ended by itself: %v", <-done)
		done <- nil
	}
	_ = run.Process.Kill()
	<-done
	if bytes.Contains(out.Bytes(), []byte("FATAL")) || bytes.Contains(out.Bytes(), []byte("rror")) {
		t.Errorf("sysbench says:\n%s", out.String())
	}
	st := p.Stats()
	t.Logf("%v, %+v", time.Since(start), st)
	if st.Unknown != 0 || st.HeldOut != 0 || st.Reprepared == 0 || st.Moves < 8 {
		t.Errorf("errors, or nothing tested: %+v", st)
	}
}
