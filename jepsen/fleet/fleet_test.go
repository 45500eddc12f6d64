package fleet

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCloseStopsInReverseOrder(t *testing.T) {
	f := newTestFleet(t)
	order := filepath.Join(t.TempDir(), "order")
	for _, name := range []string{"a", "b", "c"} {
		p := shell(t, f, name, "trap 'echo "+name+" >> "+order+"; exit 0' TERM; echo up; while :; do sleep 0.01; done")
		waitLog(t, p, "up")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(order)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != "c\nb\na\n" {
		t.Errorf("stopped in the order %q, want c b a", got)
	}
	if _, err := os.Stat(f.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is there after Close: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := f.NewProc(ProcConfig{Name: "d", Path: "sh"}); !errors.Is(err, ErrClosed) {
		t.Errorf("NewProc after Close: %v, want ErrClosed", err)
	}
	if _, err := f.Run(limited(t), "true"); !errors.Is(err, ErrClosed) {
		t.Errorf("Run after Close: %v, want ErrClosed", err)
	}
}

func TestCloseReportsWhatEndedByItself(t *testing.T) {
	f := newTestFleet(t)
	// They wait for a word: one that ends while it is being started is another case.
	const wait = "while [ ! -e end ]; do sleep 0.01; done; "
	told := shell(t, f, "told", wait+"exit 5")
	told.ExpectEnd()
	p := shell(t, f, "crasher", wait+"echo out of memory; exit 9")
	for _, p := range []*Proc{told, p} {
		if err := os.WriteFile(filepath.Join(p.Dir(), "end"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Wait(limited(t)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.Unexpected()); n != 1 {
		t.Errorf("%d unexpected ends, want 1", n)
	}
	err := f.Close()
	if err == nil || !strings.Contains(err.Error(), "crasher ended by itself: exit 9") || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("got %v, want the crasher, its status and its log", err)
	}
	if err != nil && strings.Contains(err.Error(), "told") {
		t.Errorf("an expected end was reported: %v", err)
	}
}

func TestCloseReportsWhatHadToBeKilled(t *testing.T) {
	f := newTestFleet(t)
	p := shell(t, f, "p", "trap '' TERM; echo up; while :; do sleep 0.01; done",
		func(c *ProcConfig) { c.StopTimeout = 50 * time.Millisecond })
	waitLog(t, p, "up")
	if err := f.Close(); !errors.Is(err, ErrStopTimeout) {
		t.Errorf("got %v, want ErrStopTimeout", err)
	}
}

func TestCloseEndsAStartUnderWay(t *testing.T) {
	f := newTestFleet(t)
	probed := make(chan struct{}, 1)
	p, err := f.NewProc(ProcConfig{Name: "p", Path: "sleep", Args: []string{"1000"}, Ready: func(context.Context) error {
		select {
		case probed <- struct{}{}:
		default:
		}
		return errors.New("not yet")
	}})
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() { started <- p.Start(context.Background()) }()
	<-probed
	if err := f.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-started; err == nil {
		t.Error("Start succeeded in a closed fleet")
	}
}

func TestKeep(t *testing.T) {
	tests := []struct {
		name string
		env  string
		opts Options
		fail bool
		kept bool
	}{
		{name: "by default", kept: false},
		{name: "Keep", opts: Options{Keep: true}, kept: true},
		{name: "KeepOnFailure, good", opts: Options{KeepOnFailure: true}, kept: false},
		{name: "KeepOnFailure, failed", opts: Options{KeepOnFailure: true}, fail: true, kept: true},
		{name: "KEEP=1", env: "1", kept: true},
		{name: "KEEP=0", env: "0", opts: Options{KeepOnFailure: true}, fail: true, kept: false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("KEEP", tt.env)
			var out bytes.Buffer
			tt.opts.TempDir, tt.opts.Output = t.TempDir(), &out
			f, err := New(tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			if tt.fail {
				f.Fail()
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			_, err = os.Stat(f.Dir())
			if kept := err == nil; kept != tt.kept {
				t.Errorf("kept %t, want %t", kept, tt.kept)
			}
			if said := strings.Contains(out.String(), f.Dir()); said != tt.kept {
				t.Errorf("it said %q, kept %t", out.String(), tt.kept)
			}
		})
	}
}

func TestNames(t *testing.T) {
	f := newTestFleet(t)
	for _, name := range []string{"", ".", "..", "a/b", "/a", ".hidden"} {
		if _, err := f.NewProc(ProcConfig{Name: name, Path: "sh"}); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
	if _, err := f.NewProc(ProcConfig{Name: "a", Path: "sh"}); err != nil {
		t.Error(err)
	}
	if _, err := f.NewProc(ProcConfig{Name: "a", Path: "sh"}); err == nil {
		t.Error("a name was given twice")
	}
	if _, err := f.NewProc(ProcConfig{Name: "b", Path: "no-such-program"}); err == nil || !strings.Contains(err.Error(), "make deps") {
		t.Errorf("a missing program: %v", err)
	}
}
