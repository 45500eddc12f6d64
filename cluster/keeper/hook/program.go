package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// pipeWait is how long the output is read on after the program itself has ended
// or was killed: a child of it may hold the pipe.
const pipeWait = 200 * time.Millisecond

// exec runs the program in a process group of its own, in /, without a shell. If this keeper is killed, so is the program
// (not what it has started): nobody is left to end it in time, and the next leader runs it again.
func (s Spec) exec(ctx context.Context, e Event, body []byte) (string, error) {
	// The kernel sends Pdeathsig when the thread ends that started the program, so that must not end before it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var out bounded
	cmd := exec.CommandContext(ctx, s.Program[0], s.Program[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = "/", e.environment(), bytes.NewReader(body)
	cmd.Stdout, cmd.Stderr = &out, &out // one writer: exec copies both through one pipe
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipeWait
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		// A child of the program still holds the pipe, so the group still is: end it.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return out.String(), nil
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return out.String(), fmt.Errorf("%w: not over in time, killed%s", ErrFailed, said(&out))
	case ctx.Err() != nil:
		return out.String(), fmt.Errorf("%w: given up, killed: %w", ErrFailed, ctx.Err())
	}
	return out.String(), fmt.Errorf("%w: %w%s", ErrFailed, err, said(&out))
}

func said(out *bounded) string {
	if text := out.String(); text != "" {
		return ": " + text
	}
	return ""
}
