package fleet

import (
	"context"
	"errors"
	"testing"
)

// TestLaunch: a process that is never ready is launched and runs, and not twice.
func TestLaunch(t *testing.T) {
	f := ForTest(t, Options{})
	p, err := f.NewProc(ProcConfig{Name: "sleeper", Path: "sleep", Args: []string{"1000"}, KillOnClose: true,
		Ready: func(context.Context) error { return errors.New("never") }})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Launch(); err != nil || !p.Running() {
		t.Errorf("%v, running: %v", err, p.Running())
	}
	if err := p.Launch(); !errors.Is(err, ErrRunning) {
		t.Errorf("launched again: %v", err)
	}
}
