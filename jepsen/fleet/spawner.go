package fleet

import (
	"os/exec"
	"runtime"
)

// spawner starts processes from one thread that lives as long as the fleet: Linux delivers a child's parent-death signal
// when the *thread* that forked it ends, and any other thread of a Go program may end at any time.
type spawner struct {
	requests chan spawnRequest
	done     chan struct{}
}

type spawnRequest struct {
	cmd   *exec.Cmd
	reply chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest), done: make(chan struct{})}
	go s.serve()
	return s
}

func (s *spawner) serve() {
	defer close(s.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for r := range s.requests {
		r.reply <- r.cmd.Start()
	}
}

// start starts cmd. It must not be called after stop.
func (s *spawner) start(cmd *exec.Cmd) error {
	r := spawnRequest{cmd: cmd, reply: make(chan error, 1)}
	s.requests <- r
	return <-r.reply
}

// stop ends the thread. Every child must have ended: they would lose the thread that keeps them alive.
func (s *spawner) stop() {
	close(s.requests)
	<-s.done
}
