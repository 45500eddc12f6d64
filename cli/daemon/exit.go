package daemon

import "errors"

// Exit codes of every daemon.
const (
	ExitOK        = 0
	ExitFailed    = 1
	ExitUsage     = 64
	ExitNoRestart = 78
	exitSignal    = 128 // + the signal's number
)

// ErrNoRestart marks a failure that a restart cannot mend and a person must
// look at, e.g. a data directory of another cluster. A unit file keeps such a
// daemon down with RestartPreventExitStatus=64 78.
var ErrNoRestart = errors.New("a restart will not help")

// usageError is a mistake in flags, environment or settings file.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// exitCode is the code with which err ends a daemon.
func exitCode(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return ExitUsage
	}
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, ErrNoRestart):
		return ExitNoRestart
	}
	return ExitFailed
}
