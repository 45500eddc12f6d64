package mysql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A semi-sync replica whose IO thread ends logs in at the source to kill its dump
// thread there. A source that is silent (its host is gone) lets that wait, and STOP
// SLAVE with it: for rpl_semi_sync_slave_kill_conn_timeout, and for no more than 2 s,
// because then the server sends its thread the signal again that interrupts it.
// Turning rpl_semi_sync_slave_enabled off before does not help (tried on 10.11.19): a
// running IO thread keeps what it was started with. So the agent sends that signal
// earlier. What the thread does when it is interrupted is what it does after those
// 2 s: it closes its side. The dump thread at a source that lives after all ends with the next
// heartbeat that it sends.
const (
	// killConnSeconds is that timeout where no signal can be sent. 0 would mean: none.
	killConnSeconds = "1"
	// nudgeAfter is what STOP SLAVE IO_THREAD takes at most when its source answers.
	nudgeAfter = 100 * time.Millisecond
	nudgeEvery = 50 * time.Millisecond
	// wakeSignal is the server's thr_client_alarm: its handler does nothing, so that
	// all it does is to interrupt a wait.
	wakeSignal = unix.SIGUSR1
)

// stopIO stops the IO thread. It goes before any STOP SLAVE, which stops the SQL
// thread first: an IO thread that is not being stopped must not be interrupted.
func (c *session) stopIO(ctx context.Context) error {
	const what, statement = "stop io thread", "STOP SLAVE IO_THREAD"
	if c.nudge == nil {
		return c.exec(ctx, what, statement)
	}
	stopping, stopped := context.WithCancel(ctx)
	var nudging sync.WaitGroup
	nudging.Go(func() { c.nudge(stopping) })
	err := c.exec(ctx, what, statement)
	stopped()
	nudging.Wait()
	return err
}

// nudge interrupts the IO thread again and again while it is being stopped, until ctx ends.
func (s *Server) nudge(ctx context.Context) {
	for wait := nudgeAfter; sleep(ctx, wait) == nil; wait = nudgeEvery {
		if err := s.nudgeOnce(ctx); err != nil {
			if ctx.Err() == nil { // it takes longer, and that is all
				s.log.Debug("cannot hurry the IO thread", "error", err)
			}
			return
		}
	}
}

func (s *Server) nudgeOnce(ctx context.Context) error {
	c, err := s.session(ctx, s.work)
	if err != nil {
		return err
	}
	defer c.close()
	threads, err := c.query(ctx, "look for the io thread", "SELECT TID FROM information_schema.PROCESSLIST WHERE COMMAND='Slave_IO'")
	if err != nil {
		return err
	}
	p, err := s.Attach(ctx, "")
	if err != nil {
		return err
	}
	for _, t := range threads {
		if err := wake(p, int(t.uint("TID"))); err != nil {
			return err
		}
	}
	return nil
}

// wake interrupts what one thread of the server waits for.
func wake(p Process, thread int) error {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/status")
	if err != nil {
		return fmt.Errorf("process %d: %w", p.PID, err)
	}
	if err := wakeable(status); err != nil {
		return fmt.Errorf("process %d: %w", p.PID, err)
	}
	if closed(p.Gone) { // or the number might be another's by now
		return fmt.Errorf("%w: process %d has ended", ErrNoProcess, p.PID)
	}
	if err := unix.Tgkill(p.PID, thread, wakeSignal); err != nil && !errors.Is(err, unix.ESRCH) { // gone is stopped
		return fmt.Errorf("thread %d of process %d: %w", thread, p.PID, err)
	}
	return nil
}

// wakeable refuses a process that would die of the signal, and one whose threads have
// other numbers here than it says itself. status is its file in /proc.
func wakeable(status []byte) error {
	field := func(name string) string {
		for line := range bytes.Lines(status) {
			if key, value, ok := strings.Cut(string(line), ":"); ok && key == name {
				return strings.TrimSpace(value)
			}
		}
		return ""
	}
	if spaces := strings.Fields(field("NSpid")); len(spaces) > 1 {
		return errors.New("it runs in a PID namespace of its own")
	}
	caught, err := strconv.ParseUint(field("SigCgt"), 16, 64)
	if err != nil {
		return fmt.Errorf("signals that it handles: %w", err)
	}
	if caught&(1<<(wakeSignal-1)) == 0 {
		return fmt.Errorf("it does not handle signal %d", int(wakeSignal))
	}
	return nil
}
