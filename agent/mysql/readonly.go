package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// SetReadOnly takes write access away with no limit but ctx, for a lease that
// ends: while the statement waits for running ones, new writes wait behind it,
// where the bounded form would let them go on. It waits for no other operation,
// and what is about to make the server writable gives way. It kills nobody.
//
// On ErrUnknown the statement may still take effect within a second or so.
func (s *Server) SetReadOnly(ctx context.Context) error {
	s.fences.Add(1)
	start := time.Now()
	c, err := s.session(ctx, s.last)
	if err != nil {
		return fmt.Errorf("set read-only: %w", err)
	}
	defer c.close()
	if _, err := c.conn.ExecContext(ctx, "SET GLOBAL read_only=1"); err != nil {
		return fmt.Errorf("set %s read-only: %w", s.cfg.Address, execError("set read_only", err))
	}
	on, err := c.readOnly(ctx)
	if err != nil {
		return fmt.Errorf("set %s read-only: %w: %w", s.cfg.Address, ErrUnknown, err)
	}
	if !on {
		return fmt.Errorf("set %s read-only: somebody else turned it off", s.cfg.Address)
	}
	s.log.Info("read-only", "ms", milliseconds(time.Since(start)))
	return nil
}

// Permit is what allows a server to be writable: a lease (R14).
type Permit interface {
	// Await waits until it holds, or returns why it will not, or the end of ctx.
	Await(ctx context.Context) error
	// Holds says at once whether it holds now: nil, or why not.
	Holds() error
}

// Unfence undoes a fence: read_only=0 and the scheduler as it was. It refuses a
// server that has a source with ErrStillReplica.
func (s *Server) Unfence(ctx context.Context, may Permit) error {
	fences := s.fences.Load()
	end, err := s.begin(ctx, "unfence")
	if err != nil {
		return err
	}
	defer end()
	if err := s.unfence(ctx, may, fences); err != nil {
		return fmt.Errorf("unfence %s: %w", s.cfg.Address, err)
	}
	s.log.Info("writable again")
	return nil
}

func (s *Server) unfence(ctx context.Context, may Permit, fences uint64) error {
	c, err := s.workSession(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	r, named, err := c.replication(ctx)
	if err != nil {
		return err
	}
	if r != nil {
		return fmt.Errorf("%w of %s", ErrStillReplica, r.Source())
	}
	if named > 0 {
		return fmt.Errorf("%w: %w: %d", ErrStillReplica, ErrMultiSource, named)
	}
	if err := s.makeWritable(ctx, c, may, fences); err != nil {
		return err
	}
	if s.schedulerWasOff.Load() {
		return nil
	}
	return s.startScheduler(ctx, c)
}

// makeWritable sets read_only=0 if it is permitted, unless SetReadOnly was called
// since fences was read: then it stays, or becomes again, read-only.
func (s *Server) makeWritable(ctx context.Context, c *session, may Permit, fences uint64) error {
	if err := may.Await(ctx); err != nil {
		return err
	}
	if s.fences.Load() != fences {
		return ErrFencedMeanwhile
	}
	s.swept.Store(false)
	if err := c.exec(ctx, "clear read_only", "SET GLOBAL read_only=0"); err != nil {
		return err
	}
	// R14: the lease is looked at again right after read_only=0. The statement may
	// have been slow, and the end of a lease that was over before fires no more.
	if err := may.Holds(); err != nil || s.fences.Load() != fences {
		dctx, cancel := s.detached(ctx)
		defer cancel()
		return errors.Join(ErrFencedMeanwhile, err, c.exec(dctx, "set read_only again", "SET GLOBAL read_only=1"))
	}
	on, err := c.readOnly(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if on {
		return fmt.Errorf("read_only is 1 after it was cleared: %w", ErrFencedMeanwhile)
	}
	return nil
}

// stopScheduler turns the event scheduler off and says what it was. Without the
// right to do so it refuses a server with events that could run.
func (s *Server) stopScheduler(ctx context.Context, c *session) (string, error) {
	was, err := c.value(ctx, "read event_scheduler", "SELECT @@global.event_scheduler")
	if err != nil {
		return "", err
	}
	if was != "ON" {
		return was, nil
	}
	if s.cfg.ManageEvents {
		return was, c.exec(ctx, "stop event scheduler", "SET GLOBAL event_scheduler=OFF")
	}
	events, err := c.enabledEvents(ctx)
	if err == nil && len(events) > 0 {
		err = fmt.Errorf("%w: %s: disable them, or let the agent manage events", ErrEventsEnabled, clip(strings.Join(events, ", ")))
	}
	return was, err
}

// startScheduler turns the scheduler on, if that is the agent's to do. It is for
// a server that is writable already: an event that fires on a read-only one fails.
func (s *Server) startScheduler(ctx context.Context, c *session) error {
	if !s.cfg.ManageEvents {
		return nil
	}
	now, err := c.value(ctx, "read event_scheduler", "SELECT @@global.event_scheduler")
	if err != nil || now != "OFF" {
		return err // ON already, or DISABLED at start, which cannot be changed
	}
	return c.exec(ctx, "start event scheduler", "SET GLOBAL event_scheduler=ON")
}

// undoScheduler starts the scheduler again after a fence that changed nothing else.
func (s *Server) undoScheduler(ctx context.Context, res *FenceResult) error {
	if res.ReadOnly || !s.cfg.ManageEvents || res.EventScheduler != "ON" {
		return nil
	}
	dctx, cancel := s.detached(ctx)
	defer cancel()
	c, err := s.session(dctx, s.urgent)
	if err != nil {
		return err
	}
	defer c.close()
	return s.startScheduler(dctx, c)
}
