package fleet

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// ErrLostNamespace is returned by every start after the spawner's thread could not leave a process's network namespace:
// what it started from then on would live in the wrong one.
var ErrLostNamespace = errors.New("the thread that starts processes could not go back to its network namespace: make a new fleet")

// spawner starts processes from one thread that lives as long as the fleet: Linux delivers a child's parent-death signal
// when the *thread* that forked it ends, and any other thread of a Go program may end at any time.
type spawner struct {
	requests chan spawnRequest
	done     chan struct{}
	setns    func(fd, kind int) error // unix.Setns but in tests
	lost     error                    // of the serving goroutine: why it cannot go back, for all later requests
}

type spawnRequest struct {
	cmd   *exec.Cmd
	netNS string
	reply chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest), done: make(chan struct{}), setns: unix.Setns}
	go s.serve()
	return s
}

func (s *spawner) serve() {
	defer close(s.done)
	runtime.LockOSThread()
	for r := range s.requests {
		switch {
		case s.lost != nil:
			r.reply <- s.lost
		case r.netNS != "":
			r.reply <- s.startIn(r.netNS, r.cmd)
		default:
			r.reply <- r.cmd.Start()
		}
	}
	if s.lost == nil { // else the thread is in a foreign namespace, and has to end with this goroutine
		runtime.UnlockOSThread()
	}
}

// startIn starts cmd while the thread is in the network namespace at path. Only this thread goes there: the runtime makes
// no new threads from a locked one.
func (s *spawner) startIn(path string, cmd *exec.Cmd) (err error) {
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open this thread's network namespace: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(home)) }()
	there, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the network namespace %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, unix.Close(there)) }()
	if err := s.setns(there, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace %s: %w", path, err)
	}
	err = cmd.Start()
	if back := s.setns(home, unix.CLONE_NEWNET); back != nil {
		s.lost = fmt.Errorf("%w (%s: %w)", ErrLostNamespace, path, back)
		if err == nil { // nobody would know of it
			err = errors.Join(cmd.Process.Kill(), ignoreExit(cmd.Wait()))
		}
		return errors.Join(s.lost, err)
	}
	return err
}

// ignoreExit drops the error that tells how a process ended that was killed.
func ignoreExit(err error) error {
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil
	}
	return err
}

// start starts cmd, in the network namespace at netNS or, when that is empty, in this program's. It must not be called
// after stop.
func (s *spawner) start(cmd *exec.Cmd, netNS string) error {
	r := spawnRequest{cmd: cmd, netNS: netNS, reply: make(chan error, 1)}
	s.requests <- r
	return <-r.reply
}

// stop ends the thread. Every child must have ended: they would lose the thread that keeps them alive.
func (s *spawner) stop() {
	close(s.requests)
	<-s.done
}
