package proc

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// ErrEnded is returned by what breaks a process when it has ended.
var ErrEnded = errors.New("the process has ended")

const (
	standstill   = 5 * time.Second // bounds the wait for a stop or a continuation
	pollInterval = time.Millisecond
)

// Options say what New cannot see of a process. The zero value is fit for use.
type Options struct {
	// DataPath is a path on the disk that LimitWrites is about. Empty: LimitWrites is fault.ErrUnsupported.
	DataPath string
}

// Proc breaks one process. Its methods may be called from any goroutine.
type Proc struct {
	pid  int
	opts Options
	host *host

	mu        sync.Mutex
	pidfd     int // -1 after Close
	groups    map[string]*group
	files     *unix.Rlimit // what LimitFiles found
	elsewhere int64        // bytes of anonymous memory that are not charged to the memory group
	throttled uint64       // of groups that are removed
	oomKills  uint64       // of groups that are removed
}

var _ fault.Proc = (*Proc)(nil)

// New returns a breaker of the process pid. The caller must Close it, also when the process has ended.
func New(pid int, opts Options) (*Proc, error) {
	h, err := readHost()
	if err != nil {
		return nil, fmt.Errorf("break process %d: %w", pid, err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		err = ErrEnded
	}
	if err != nil {
		return nil, fmt.Errorf("break process %d: %w", pid, err)
	}
	return &Proc{pid: pid, opts: opts, host: h, pidfd: fd, groups: make(map[string]*group)}, nil
}

// PID is the number of the process.
func (p *Proc) PID() int { return p.pid }

// Kill sends SIGKILL. It does not wait for the end: a process that waits for a hung disk ends with that wait.
func (p *Proc) Kill() error { return p.do("kill", func() error { return p.signal(unix.SIGKILL) }) }

// Pause stops all threads of the process (SIGSTOP) and returns when they stand still. Its sockets stay open.
func (p *Proc) Pause() error {
	return p.do("pause", func() error {
		if err := p.signal(unix.SIGSTOP); err != nil {
			return err
		}
		return p.await(stopped)
	})
}

// Resume lets a paused process go on (SIGCONT) and returns when it does.
func (p *Proc) Resume() error {
	return p.do("resume", func() error {
		if err := p.signal(unix.SIGCONT); err != nil {
			return err
		}
		return p.await(func(pid int) error {
			state, err := processState(pid)
			if err == nil && state == 'T' {
				err = errors.New("it is stopped")
			}
			return err
		})
	})
}

// Release lifts all limits; a paused process stays paused. The limits of a process that has ended are removed too, but the
// answer is ErrEnded.
func (p *Proc) Release() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := errors.Join(p.lift(), p.check()); err != nil {
		return fmt.Errorf("release process %d: %w", p.pid, err)
	}
	return nil
}

// Close lifts all limits and gives the process up. A second call does nothing.
func (p *Proc) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd < 0 {
		return nil
	}
	err := errors.Join(p.lift(), unix.Close(p.pidfd))
	p.pidfd = -1
	if err != nil {
		return fmt.Errorf("give process %d up: %w", p.pid, err)
	}
	return nil
}

// lift removes the groups and restores the file limit.
func (p *Proc) lift() error {
	var errs []error
	for key, g := range p.groups {
		errs = append(errs, p.count(g), g.remove())
		delete(p.groups, key)
	}
	if p.files != nil && p.check() == nil {
		err := unix.Prlimit(p.pid, unix.RLIMIT_NOFILE, p.files, nil)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("restore the limit of open files: %w", err))
		}
	}
	p.files = nil
	return errors.Join(errs...)
}

// do runs one fault on a process that lives.
func (p *Proc) do(what string, fn func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.check()
	if err == nil {
		if err = fn(); err != nil && errors.Is(p.check(), ErrEnded) { // whatever it looked like
			err = ErrEnded
		}
	}
	if err != nil {
		return fmt.Errorf("%s process %d: %w", what, p.pid, err)
	}
	return nil
}

// check is ErrEnded when the process has ended, reaped or not.
func (p *Proc) check() error {
	if p.pidfd < 0 {
		return os.ErrClosed
	}
	fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("poll its pidfd: %w", err)
		case n > 0:
			return ErrEnded
		}
		return nil
	}
}

func (p *Proc) signal(sig unix.Signal) error {
	err := unix.PidfdSendSignal(p.pidfd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return ErrEnded
	}
	return err
}

// await calls cond until it is nil, the process ends, or it took too long.
func (p *Proc) await(cond func(pid int) error) error {
	deadline := time.Now().Add(standstill)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := cond(p.pid)
		if ended := p.check(); ended != nil {
			return ended
		}
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not after %v: %w", standstill, err)
		}
		<-tick.C
	}
}

// stopped returns nil when no thread of the process can run an instruction of its own: it is stopped, or in the kernel with
// the stop pending, or dead.
func stopped(pid int) error {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		state, err := stateIn(fmt.Sprintf("/proc/%d/task/%s/stat", pid, thread.Name()))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // the thread has ended
		}
		if err != nil {
			return err
		}
		if !strings.ContainsRune("TtDZX", rune(state)) {
			return fmt.Errorf("thread %s is in state %c, not stopped", thread.Name(), state)
		}
	}
	return nil
}

func processState(pid int) (byte, error) { return stateIn(fmt.Sprintf("/proc/%d/stat", pid)) }

// stateIn is the one-letter state in a stat file. The name before it may hold anything, ")" included.
func stateIn(path string) (byte, error) {
	stat, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	i := strings.LastIndexByte(string(stat), ')')
	if i < 0 || i+2 >= len(stat) {
		return 0, fmt.Errorf("%s has an unknown form", path)
	}
	return stat[i+2], nil
}
