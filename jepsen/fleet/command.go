package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// outputDelay bounds the wait for the end of a command's output after its own end: a grandchild that left the process
// group may hold it open.
const outputDelay = 2 * time.Second

// Result is what a command that ran to its end said.
type Result struct {
	Stdout, Stderr string
	Code           int // the exit code; -1 when a signal ended it
}

// Run runs a command in the fleet's directory to its end and returns its output, whatever its exit code: the error is for a
// command that could not be run or did not end before ctx, when its whole process group is killed.
func (f *Fleet) Run(ctx context.Context, name string, args ...string) (Result, error) {
	return f.RunInput(ctx, "", name, args...)
}

// RunInput is Run with text for the command's standard input.
func (f *Fleet) RunInput(ctx context.Context, stdin, name string, args ...string) (Result, error) {
	return f.runIn(ctx, f.dir, stdin, name, args...)
}

func (f *Fleet) runIn(ctx context.Context, dir, stdin, name string, args ...string) (Result, error) {
	path, err := lookProgram(name)
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.closing, cancel)()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = dir, os.Environ()
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = outputDelay
	r, err := f.spawn(name, cmd, "")
	if err != nil {
		return Result{}, fmt.Errorf("run %s: %w", name, err)
	}
	defer f.watchers.Done()
	defer context.AfterFunc(ctx, func() { _ = r.signal(syscall.SIGKILL) })() // ErrNotRunning: it ended at that moment
	err = r.reap(f)
	res := Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: r.status.Code}
	if ctx.Err() != nil {
		return res, fmt.Errorf("run %s %q: %w; it had said: %s%s", name, args, context.Cause(ctx), res.Stdout, res.Stderr)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return res, fmt.Errorf("run %s: %w", name, err)
	}
	return res, nil
}
