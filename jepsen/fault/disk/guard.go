package disk

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// guard is a process that thaws a volume when this process is gone. Without it
// a killed run would leave processes that nothing can kill, and through them its
// mounts: a freeze belongs to nobody.
type guard struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

// startGuard returns when the guard stands. It must be stopped after the thaw.
func startGuard(dir string) (*guard, error) {
	// The working directory is "/" and no file of the volume is open: what
	// fsfreeze needs is read-only and works on a frozen volume. cat ends with the
	// last writer of the pipe: this process.
	cmd := exec.Command("/bin/sh", "-c", `echo ready; cat >/dev/null; exec fsfreeze --unfreeze "$1"`, "thaw-guard", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // not hit by what is sent to the run's group
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start thaw guard: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start thaw guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start thaw guard: %w", err)
	}
	g := &guard{cmd: cmd, pipe: in}
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		if kill := g.stop(); kill != nil {
			return nil, kill
		}
		return nil, fmt.Errorf("start thaw guard: %w", err)
	}
	return g, nil
}

// stop ends the guard, which then thaws nothing.
func (g *guard) stop() error {
	// By the group: cat is its child.
	if err := syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL); err != nil && err != os.ErrProcessDone && err != syscall.ESRCH {
		return fmt.Errorf("stop thaw guard: %w", err)
	}
	g.pipe.Close()
	if err := g.cmd.Wait(); err != nil {
		if _, killed := err.(*exec.ExitError); !killed {
			return fmt.Errorf("stop thaw guard: %w", err)
		}
	}
	return nil
}
