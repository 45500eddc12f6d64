package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// run is one life of a Proc. Its process group's number is valid until reaped is set: the watcher reaps under mu, and
// signals go out under mu, so no signal can reach a stranger that was given the number.
type run struct {
	name string
	cmd  *exec.Cmd
	pgid int
	done chan struct{} // closed when the process has ended and its group is gone

	mu       sync.Mutex
	starting bool // Start has not returned yet, and will report its end
	expected bool // somebody told it to end
	reaped   bool
	status   ExitStatus // valid when done is closed
}

// ExitStatus is how a process ended.
type ExitStatus struct {
	Code   int            // the exit code, -1 when a signal ended it
	Signal syscall.Signal // the signal that ended it, or 0
	Time   time.Time      // when it was seen to have ended
}

// String is "exit 1" or "killed by terminated".
func (s ExitStatus) String() string {
	if s.Signal != 0 {
		return "killed by " + s.Signal.String()
	}
	return fmt.Sprintf("exit %d", s.Code)
}

// spawn starts cmd in a process group of its own that dies with this program, unless the fleet is closed, and in the network
// namespace at netNS if that is not empty. It counts the run in f.watchers: the caller must reap it and then call
// f.watchers.Done.
func (f *Fleet) spawn(name string, cmd *exec.Cmd, netNS string) (*run, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	f.mu.Lock() // from the check to the count: either Close waits for the run, or this sees Close
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	if err := f.spawner.start(cmd, netNS); err != nil {
		return nil, err
	}
	f.watchers.Add(1)
	r := &run{name: name, cmd: cmd, pgid: cmd.Process.Pid, done: make(chan struct{}), starting: true}
	if err := f.janitor.began(r.pgid); err != nil {
		f.log.Error("the children of a process would survive a crash of this program", "process", name, "error", err)
	}
	return r, nil
}

// watch waits for the end of the run and tells everybody.
func (p *Proc) watch(r *run) {
	f := p.fleet
	err := r.reap(f)
	r.mu.Lock()
	expected, status := r.expected || r.starting, r.status
	r.mu.Unlock()
	if expected {
		f.log.Debug("ended", "process", r.name, "status", status.String())
	} else {
		f.addUnexpected(fmt.Errorf("%s ended by itself: %s; the end of its log:\n%s", r.name, status, p.LogTail(10)))
		f.log.Warn("ended by itself", "process", r.name, "status", status.String(), "error", err)
	}
	close(r.done)
}

// reap waits for the end of the run's first process, ends what is left of its group, and frees its number. It returns what
// exec.Cmd.Wait does.
func (r *run) reap(f *Fleet) error {
	waitEnded(r.pgid)
	// The first process is a zombie now, so the number is still the group's.
	if err := r.signal(syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		f.log.Error("cannot end a process group", "process", r.name, "error", err)
	}
	if err := f.janitor.ended(r.pgid); err != nil {
		f.log.Error("cannot tell the janitor of an end", "process", r.name, "error", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.cmd.Wait()
	r.reaped = true
	r.status = ExitStatus{Code: r.cmd.ProcessState.ExitCode(), Time: time.Now()}
	if ws, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		r.status.Signal = ws.Signal()
	}
	return err
}

// waitEnded blocks until the child is a zombie, and leaves it one.
func waitEnded(pid int) {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return // nil, or ECHILD: nothing left to wait for
		}
	}
}

func (r *run) alive() bool {
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

// started ends the time in which Start reports the run's end.
func (r *run) started() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starting = false
	if r.reaped {
		return fmt.Errorf("it ended: %s", r.status)
	}
	return nil
}

func (r *run) expect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected = true
}

func (r *run) signal(sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reaped {
		return ErrNotRunning
	}
	return syscall.Kill(-r.pgid, sig)
}

func (r *run) kill() error {
	r.expect()
	if err := r.signal(syscall.SIGKILL); err != nil && !errors.Is(err, ErrNotRunning) {
		return fmt.Errorf("kill %s: %w", r.name, err)
	}
	select {
	case <-r.done:
		return nil
	case <-time.After(killTimeout):
		return fmt.Errorf("kill %s: pid %d is still there after %v", r.name, r.pgid, killTimeout)
	}
}

func (r *run) pause(ctx context.Context) error {
	if err := r.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return Eventually(ctx, time.Millisecond, func(context.Context) error { return standsStill(r.pgid) })
}

// standsStill returns nil when no thread of the process can run an instruction of its own: it is stopped, or in the kernel
// with the stop pending (a vfork waits there for a child that is stopped too), or dead.
func standsStill(pid int) error {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		state, err := processState(tid)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return err
		}
		if !bytes.ContainsRune([]byte("TtDZX"), rune(state)) {
			return fmt.Errorf("thread %d is in state %c, not stopped", tid, state)
		}
	}
	return nil
}

// processState is the one-letter state of a process or thread in /proc/PID/stat. The name before it may hold anything, ")" included.
func processState(pid int) (byte, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 || i+2 >= len(stat) {
		return 0, fmt.Errorf("/proc/%d/stat has an unknown form", pid)
	}
	return stat[i+2], nil
}

// until calls ready until it returns nil, the run ends, or ctx is done.
func (r *run) until(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-r.done:
			cancel(fmt.Errorf("it ended before it was ready: %s", r.status))
		case <-stop:
		}
	})
	err := Eventually(ctx, readyInterval, ready)
	close(stop)
	wg.Wait()
	return err
}
