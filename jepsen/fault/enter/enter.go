package enter

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// marker is what the outer process tells the inner one in its environment: the tier and the outer network namespace. The
// inner one takes it out, so that a program that it starts may enter namespaces of its own.
const marker = "ZERO_CHAOS_INSIDE"

// ErrTier is the base of what Enter answers when less is possible here than was asked for.
var ErrTier = errors.New("this machine, or this user, cannot give the tier that was asked for")

// inside is the tier of this process once it has entered.
var inside struct {
	sync.Mutex
	tier fault.Tier
}

// Enter puts the program into namespaces of its own and returns the tier that was reached, which is at least want (0: any)
// and never lower than what is possible. It must come before anything else that the program does, as all of that is done
// twice: with tiers A and B the calling process only starts the same program again, with the same arguments, environment,
// standard streams and directory, and exits with its code (128 + the signal's number if a signal ended it).
//
// With tier C nothing is entered. Once a process is inside, Enter only tells the tier.
func Enter(want fault.Tier) (fault.Tier, error) {
	inside.Lock()
	defer inside.Unlock()
	tier := inside.tier
	if tier == 0 {
		var err error
		if tier, err = enter(want); err != nil {
			return 0, fmt.Errorf("enter namespaces: %w", err)
		}
	}
	if tier < want {
		return 0, fmt.Errorf("enter namespaces: %w: wanted %s, is in %s", ErrTier, want, tier)
	}
	inside.tier = tier
	return tier, nil
}

func enter(want fault.Tier) (fault.Tier, error) {
	if mark, ok := os.LookupEnv(marker); ok {
		if err := os.Unsetenv(marker); err != nil {
			return 0, err
		}
		tier, err := arrived(mark)
		if err != nil {
			return 0, err
		}
		return tier, settle()
	}
	tier, why := possible()
	if tier < want {
		return 0, fmt.Errorf("%w: wanted %s, only %s is possible: %s", ErrTier, want, tier, why)
	}
	if tier == fault.TierC {
		return tier, nil
	}
	code, err := runInside(tier)
	if err != nil {
		return 0, err
	}
	os.Exit(code)
	panic("unreachable")
}

// arrived reads the marker. It must have been set by a process outside, not exported in some shell.
func arrived(mark string) (fault.Tier, error) {
	name, outer, _ := strings.Cut(mark, " ")
	tier, err := fault.ParseTier(name)
	if err != nil {
		return 0, fmt.Errorf("%s=%q: %w", marker, mark, err)
	}
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return 0, err
	}
	if outer == "" || here == outer {
		return 0, fmt.Errorf("%s=%q, but this process is in no namespace of its own: unset it, only Enter sets it", marker, mark)
	}
	return tier, nil
}

// runInside runs this program again inside new namespaces and returns its exit code.
func runInside(tier fault.Tier) (int, error) {
	// The kernel kills the child when the thread that started it ends, so this thread must live as long as the process.
	runtime.LockOSThread()
	outer, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return 0, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s", marker, tier, outer))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = attributes(tier)
	// A group of its own: what a terminal sends reaches the child once, through here, and not twice.
	cmd.SysProcAttr.Setpgid = true

	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	if err := cmd.Start(); err != nil {
		signal.Stop(signals)
		return 0, fmt.Errorf("start this program again in tier %s: %w", tier, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
				fmt.Fprintf(os.Stderr, "enter namespaces: forward %s to process %d: %v\n", sig, cmd.Process.Pid, err)
			}
		case err := <-ended:
			return exitCode(cmd, err)
		}
	}
}

// exitCode is the code that a shell would report. err is what Wait returned.
func exitCode(cmd *exec.Cmd, err error) (int, error) {
	if cmd.ProcessState == nil {
		return 0, fmt.Errorf("wait for process %d: %w", cmd.Process.Pid, err)
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}
