package mysql

import (
	"os/exec"
	"syscall"
)

// A test binary that panics or times out runs no clean-up: its servers end with it nevertheless.
func init() {
	dieWithTests = func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
}
