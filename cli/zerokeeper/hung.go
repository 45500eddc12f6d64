package main

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// exitDiskHung is the exit code of a keeper whose disk hung: EX_IOERR. A restart
// helps when the disk is back; a supervisor should try.
const exitDiskHung = 74

// hungGrace is how long what was told to close may take, and the log, which may
// be on the same disk.
const hungGrace = 2 * time.Second

// verdict is how the process ends.
type verdict struct {
	hung atomic.Bool
	exit func(code int) // of the process
}

// code is the exit code, given the frame's.
func (v *verdict) code(frame int) int {
	if v.hung.Load() {
		return exitDiskHung
	}
	return frame
}

// abandon lets go of everything without waiting for the disk. A thread that
// hangs in the kernel keeps the process's sockets open after exit, until the disk
// is back: they are closed first, or clients and keepers would wait for answers.
// If what follows hangs as well, the log for one, the process exits anyway.
func (v *verdict) abandon(listener net.Listener, stopServing context.CancelFunc, servers *sync.WaitGroup) {
	v.hung.Store(true)
	time.AfterFunc(2*hungGrace, func() { v.exit(exitDiskHung) })
	_ = listener.Close() // there is no one left to tell
	stopServing()
	ended := make(chan struct{})
	go func() {
		servers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(hungGrace):
	}
}
