package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSweep(t *testing.T) {
	v := newVictim(t)
	did(t, v.LimitCPU(1))
	mine := v.dirs()[0]
	dead := deadPID(t)
	empty := filepath.Join(filepath.Dir(mine), fmt.Sprintf("%s%d-%d", prefix, dead, 1))
	full := filepath.Join(filepath.Dir(mine), fmt.Sprintf("%s%d-%d", prefix, dead, 2))
	for _, dir := range []string{empty, full} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	inFull := newVictim(t)
	g := &group{dir: full, home: filepath.Dir(mine)}
	if err := g.add(inFull.PID()); err != nil {
		t.Fatal(err)
	}
	if _, err := Sweep(); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{mine, full} {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("Sweep took what it must not: %v", err)
		}
	}
	if _, err := os.Stat(empty); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Sweep left %s: %v", empty, err)
	}
	if err := g.remove(); err != nil { // moves the process home
		t.Error(err)
	}
	inFull.takes("work")
}

func TestAbandoned(t *testing.T) {
	dead := deadPID(t)
	tests := []struct {
		name string
		want bool
	}{
		{name: fmt.Sprintf("zero-chaos-%d-1", dead), want: true},
		{name: fmt.Sprintf("zero-chaos-%d-1", os.Getpid())},
		{name: fmt.Sprintf("zero-chaos-%d", dead)},
		{name: fmt.Sprintf("zero-chaos-%d-x", dead)},
		{name: fmt.Sprintf("other-%d-1", dead)},
		{name: "zero-chaos--1-1"},
		{name: "zero-chaos-0-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := abandoned(tt.name); got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
	if !errors.Is(unix.Kill(dead, 0), unix.ESRCH) {
		t.Skip("the dead process's number was given to another one")
	}
}
