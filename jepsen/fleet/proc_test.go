package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestProcStopAndExitStatus(t *testing.T) {
	tests := []struct {
		name, script string
		end          func(*Proc) error
		want         ExitStatus
		err          error
	}{
		{name: "clean stop", script: "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done",
			end: func(p *Proc) error { return p.Stop(context.Background()) }, want: ExitStatus{Code: 7}},
		{name: "stop by default action", script: "echo up; exec sleep 1000",
			end: func(p *Proc) error { return p.Stop(context.Background()) }, want: ExitStatus{Code: -1, Signal: syscall.SIGTERM}},
		{name: "SIGTERM ignored", script: "trap '' TERM; echo up; while :; do sleep 0.01; done",
			end: func(p *Proc) error { return p.Stop(context.Background()) }, err: ErrStopTimeout,
			want: ExitStatus{Code: -1, Signal: syscall.SIGKILL}},
		{name: "kill", script: "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done",
			end: (*Proc).Kill, want: ExitStatus{Code: -1, Signal: syscall.SIGKILL}},
		{name: "stop while paused", script: "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done",
			end: func(p *Proc) error {
				return errors.Join(p.Pause(context.Background()), p.Stop(context.Background()))
			}, want: ExitStatus{Code: 7}},
		{name: "killed while paused", script: "echo up; exec sleep 1000",
			end: func(p *Proc) error {
				return errors.Join(p.Pause(context.Background()), p.Kill())
			}, want: ExitStatus{Code: -1, Signal: syscall.SIGKILL}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newTestFleet(t)
			p := shell(t, f, "p", tt.script, func(c *ProcConfig) { c.StopTimeout = 300 * time.Millisecond })
			waitLog(t, p, "up")
			if !p.Running() {
				t.Fatal("it does not run")
			}
			if err := tt.end(p); !errors.Is(err, tt.err) {
				t.Errorf("got error %v, want %v", err, tt.err)
			}
			got, err := p.Wait(limited(t))
			if err != nil {
				t.Fatal(err)
			}
			if got.Code != tt.want.Code || got.Signal != tt.want.Signal || p.Running() {
				t.Errorf("got %v, running %t, want %v", got, p.Running(), tt.want)
			}
			if err := p.Signal(syscall.SIGCONT); !errors.Is(err, ErrNotRunning) {
				t.Errorf("a signal to what has ended: %v, want ErrNotRunning", err)
			}
			if err := f.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func TestProcEndTakesTheGroupAlong(t *testing.T) {
	f := newTestFleet(t)
	p := shell(t, f, "p", "sleep 1000 & echo child $!; wait")
	waitLog(t, p, "child")
	child, err := strconv.Atoi(strings.TrimPrefix(said(p), "child "))
	if err != nil {
		t.Fatal(err)
	}
	// Only the first process is killed, as the kernel would for lack of memory.
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, child)
}

func TestProcPauseStandsStill(t *testing.T) {
	f := newTestFleet(t)
	p := shell(t, f, "p", "while :; do echo x >> ticks; sleep 0.002; done")
	ticks := filepath.Join(p.Dir(), "ticks")
	grows := func(from int64) error {
		return Eventually(limited(t), time.Millisecond, func(context.Context) error {
			info, err := os.Stat(ticks)
			if err == nil && info.Size() <= from {
				err = fmt.Errorf("%d bytes", info.Size())
			}
			return err
		})
	}
	if err := grows(10); err != nil {
		t.Fatal(err)
	}
	if err := p.Pause(limited(t)); err != nil {
		t.Fatal(err)
	}
	if err := standsStill(p.PID()); err != nil {
		t.Fatalf("after Pause: %v", err)
	}
	before, err := os.Stat(ticks)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := Eventually(limited(t), time.Microsecond, func(context.Context) error {
		if standsStill(p.PID()) == nil {
			return errors.New("still paused")
		}
		return nil
	}); err != nil {
		t.Fatalf("standsStill sees no difference: %v", err)
	}
	if err := grows(before.Size() + 10); err != nil {
		t.Fatalf("after Resume: %v", err)
	}
}

func TestProcRestartKeepsTheLogAndTheDirectory(t *testing.T) {
	f := newTestFleet(t)
	p := shell(t, f, "p", `echo "run <$1>"; exec sleep 1000`)
	waitLog(t, p, "run <>")
	first := p.PID()
	if err := p.Start(limited(t)); !errors.Is(err, ErrRunning) {
		t.Errorf("a second Start: %v, want ErrRunning", err)
	}
	if err := p.Restart(limited(t), "sh", "extra"); err != nil {
		t.Fatal(err)
	}
	waitLog(t, p, "run <extra>")
	if p.PID() == first {
		t.Error("Restart left the process")
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(limited(t)); err != nil {
		t.Fatal(err)
	}
	if err := Eventually(limited(t), time.Millisecond, func(context.Context) error {
		if n := strings.Count(said(p), "run <"); n != 3 {
			return fmt.Errorf("the log tells of %d runs, want 3", n)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestProcNotReady(t *testing.T) {
	notYet := errors.New("not yet")
	never := func(c *ProcConfig) {
		c.Ready = func(context.Context) error { return notYet }
		c.ReadyTimeout = 200 * time.Millisecond
	}
	tests := []struct {
		name, script string
		want         []string
	}{
		{name: "it ends", script: "echo cannot open the disk; exit 3", want: []string{"exit 3", "cannot open the disk", "not yet"}},
		{name: "it takes too long", script: "echo still thinking; exec sleep 1000", want: []string{"deadline", "still thinking", "not yet"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newTestFleet(t)
			cfg := ProcConfig{Name: "p", Path: "sh", Args: []string{"-c", tt.script}}
			never(&cfg)
			p, err := f.NewProc(cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = p.Start(limited(t))
			if !errors.Is(err, notYet) {
				t.Fatalf("got %v, want the last answer of Ready in it", err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not say %q: %v", w, err)
				}
			}
			if p.Running() {
				t.Error("a process that was not ready was left running")
			}
			if err := f.Close(); err != nil {
				t.Errorf("Close reports again what Start has reported: %v", err)
			}
		})
	}
}
