package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
)

// pointsDir is where a process's fault points are armed, in its own directory.
const pointsDir = "points"

// pointsEnv is what a process with fault points is started with. The directory is
// relative to the process's working directory, which is its own.
var pointsEnv = []string{"ZERO_FAULTPOINT_DIR=" + pointsDir}

// act is what an armed point does to its process.
type act string

// The acts.
const (
	actKill act = "kill"
	actStop act = "stop"
	actWait act = "wait"
)

// armed is a fault point of one process that is armed.
type armed struct {
	proc *fleet.Proc
	name string
	act  act
}

func (a armed) file(sub string) string {
	return filepath.Join(a.proc.Dir(), pointsDir, sub, strings.ReplaceAll(a.name, "/", "."))
}

// arm arms a point of a process, whether it runs or not.
func arm(p *fleet.Proc, name string, what act) (armed, error) {
	a := armed{p, name, what}
	if err := os.MkdirAll(filepath.Dir(a.file("arm")), 0o755); err != nil {
		return a, fmt.Errorf("arm %s: %w", name, err)
	}
	// Renamed into place: the process must not read half of it.
	half := a.file("arm") + "~"
	if err := errors.Join(os.WriteFile(half, []byte(what), 0o644), os.Rename(half, a.file("arm"))); err != nil {
		return a, fmt.Errorf("arm %s: %w", name, err)
	}
	if what == actKill {
		p.ExpectEnd()
	}
	return a, nil
}

// disarm takes it back, and lets go on what waits there.
func (a armed) disarm() error {
	err := os.Remove(a.file("arm"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// reached reports whether the process has come to the point: it waits there, or
// the point has done what it was armed for.
func (a armed) reached() bool {
	if a.act == actWait {
		return exists(a.file("at"))
	}
	return !exists(a.file("arm"))
}

// await waits until the point is reached, or errors when ctx ends before.
func (a armed) await(ctx context.Context) error {
	return fleet.Eventually(ctx, time.Millisecond, func(context.Context) error {
		if !a.reached() {
			return fmt.Errorf("%s has not come to %s", a.proc.Name(), a.name)
		}
		return nil
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// passed are the points that the processes have come to, and how often.
func passed(procs []*fleet.Proc) (map[string]int, error) {
	counts := map[string]int{}
	for _, p := range procs {
		f, err := os.Open(filepath.Join(p.Dir(), pointsDir, "reached"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			counts[lines.Text()]++
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return nil, fmt.Errorf("read the points that %s came to: %w", p.Name(), err)
		}
	}
	return counts, nil
}
