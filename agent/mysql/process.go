package mysql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

var (
	// ErrNoProcess is returned if the server's process cannot be found.
	ErrNoProcess = errors.New("the server's process is not known")
	// ErrCannotKill is returned if the agent may not kill the server's process.
	ErrCannotKill = errors.New("cannot kill the server")
)

// Process is the server's process. Gone is closed when it has ended.
type Process struct {
	PID  int
	Gone <-chan struct{}
}

// heldProcess keeps a process by its pidfd: another one that gets its number is
// never taken for it.
type heldProcess struct {
	Process
	fd   *os.File
	over chan struct{} // closed when nobody waits on fd any more
}

// processes is what the server knows of its process. One at a time is held.
type processes struct {
	mu   sync.Mutex
	peer int // of the newest connection over the socket, 0: none
	held *heldProcess
}

// dialed notes who listens at the socket: whom the kernel names as the peer of
// a connection over it.
func (p *processes) dialed(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peer = pid
}

// Attach finds the server's process and holds it until it ends or another one
// serves the socket. dataDir is the server's, as it says itself or did once;
// empty if that is not known. It needs no answer of the server: one that is stopped
// is found by who listens at its socket.
func (s *Server) Attach(ctx context.Context, dataDir string) (Process, error) {
	if s.cfg.Socket == "" {
		return Process{}, fmt.Errorf("%w: the agent reaches it by TCP: give it the server's unix socket", ErrNoProcess)
	}
	p := &s.processes
	p.mu.Lock()
	h, pid := p.held, p.peer
	p.mu.Unlock()
	if h != nil && !closed(h.Gone) && (pid == 0 || pid == h.PID) {
		return h.Process, nil
	}
	if pid == 0 || h != nil && h.PID == pid {
		var err error
		if pid, err = peerOf(ctx, s.cfg.Socket); err != nil {
			if pid = findProcess(dataDir); pid == 0 {
				return Process{}, fmt.Errorf("%w: %w", ErrNoProcess, err)
			}
		}
	}
	h, err := hold(pid, dataDir)
	if err != nil {
		return Process{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release()
	p.held, p.peer = h, pid
	return h.Process, nil
}

// Kill ends the server's process with SIGKILL and waits until it is gone, or ctx
// ends. A stopped or hung one ends as well. Done already is done.
func (s *Server) Kill(ctx context.Context, dataDir string) error {
	p := &s.processes
	p.mu.Lock()
	h := p.held
	p.mu.Unlock()
	if h == nil || closed(h.Gone) { // what is held and alive is not looked for again: time is short
		if _, err := s.Attach(ctx, dataDir); err != nil {
			if h != nil && s.Dead(ctx, dataDir) {
				return nil
			}
			return fmt.Errorf("kill %s: %w", s.cfg.Address, err)
		}
		p.mu.Lock()
		h = p.held
		p.mu.Unlock()
	}
	if err := h.signal(unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill %s: %w: process %d: %w", s.cfg.Address, ErrCannotKill, h.PID, err)
	}
	select {
	case <-h.Gone:
		s.log.Warn("killed the server", "pid", h.PID)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kill %s: process %d was sent SIGKILL and is still there: %w", s.cfg.Address, h.PID, ctx.Err())
	}
}

// Dead reports whether the server is confirmed dead: the process that was held is
// gone, or none ever was there, and nobody listens at its socket.
func (s *Server) Dead(ctx context.Context, dataDir string) bool {
	if s.cfg.Socket == "" {
		return false
	}
	p := &s.processes
	p.mu.Lock()
	h := p.held
	p.mu.Unlock()
	if h != nil && !closed(h.Gone) {
		return false
	}
	if h == nil && (dataDir == "" || findProcess(dataDir) != 0) {
		return false // it may be there all the same: its socket's file was removed
	}
	_, err := peerOf(ctx, s.cfg.Socket)
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// hold opens a process and makes sure that it is the server. The order counts:
// what /proc says of the number is of the process that is held, as that one is
// still alive afterwards.
func hold(pid int, dataDir string) (*heldProcess, error) {
	if pid <= 1 || pid == os.Getpid() {
		return nil, fmt.Errorf("%w: process %d listens at its socket", ErrNoProcess, pid)
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("%w: process %d: %w", ErrNoProcess, pid, err)
	}
	gone := make(chan struct{})
	h := &heldProcess{Process: Process{PID: pid, Gone: gone}, fd: os.NewFile(uintptr(fd), "pidfd"), over: make(chan struct{})}
	err = isServer(pid, dataDir)
	if err == nil {
		if err = h.signal(0); errors.Is(err, unix.EPERM) {
			err = fmt.Errorf("%w: process %d belongs to another user: run the agent as root or as that user", ErrCannotKill, pid)
		}
	}
	if err != nil {
		return nil, errors.Join(err, h.fd.Close())
	}
	go h.watch(gone)
	return h, nil
}

// isServer refuses a process that is not a database server on that data
// directory, which such a one makes its working directory.
func isServer(pid int, dataDir string) error {
	proc := "/proc/" + strconv.Itoa(pid)
	exe, err := os.Readlink(proc + "/exe")
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: process %d belongs to another user: run the agent as root or as that user", ErrCannotKill, pid)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoProcess, err)
	}
	if name := filepath.Base(exe); !strings.HasPrefix(name, "mariadbd") && !strings.HasPrefix(name, "mysqld") {
		return fmt.Errorf("%w: process %d is %s", ErrNoProcess, pid, exe)
	}
	if dataDir == "" {
		return nil
	}
	want, err := os.Stat(dataDir)
	if err != nil {
		return fmt.Errorf("%w: the data directory: %w", ErrNoProcess, err)
	}
	is, err := os.Stat(proc + "/cwd")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoProcess, err)
	}
	if !os.SameFile(want, is) {
		return fmt.Errorf("%w: process %d does not work in %s", ErrNoProcess, pid, dataDir)
	}
	return nil
}

// findProcess looks for a server on that data directory among all processes.
func findProcess(dataDir string) int {
	if dataDir == "" {
		return 0
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && isServer(pid, dataDir) == nil {
			return pid
		}
	}
	return 0
}

// signal sends a signal to what is held, and to nothing else.
func (h *heldProcess) signal(sig unix.Signal) error {
	raw, err := h.fd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return err
	}
	return sent
}

// watch closes gone when the process has ended; it ends with fd.
func (h *heldProcess) watch(gone chan<- struct{}) {
	defer close(h.over)
	raw, err := h.fd.SyscallConn()
	if err != nil {
		return // closed already
	}
	ended := false
	_ = raw.Read(func(fd uintptr) bool { // its error is that fd was closed
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		ended = err == nil && n > 0
		return ended
	})
	if ended {
		close(gone)
	}
}

// release lets go of what is held. mu is held.
func (p *processes) release() {
	if p.held != nil {
		_ = p.held.fd.Close()
		<-p.held.over
		p.held = nil
	}
}

// peerTimeout bounds a connect to the socket; a server that is stopped, with a
// full queue, does not take it.
const peerTimeout = 200 * time.Millisecond

// peerOf asks the kernel who listens at a socket.
func peerOf(ctx context.Context, socket string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return peerPID(conn)
}
