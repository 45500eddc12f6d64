package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Bounds of a fence.
const (
	DefaultFenceBound = 2 * time.Second
	MaxFenceBound     = time.Minute
	// stablePause comes after two readings of the position that differ.
	stablePause = 5 * time.Millisecond
	// ackPause lies between two looks at sessions that wait for an acknowledgement.
	ackPause = 2 * time.Millisecond
)

// FenceOptions bounds a planned fence.
type FenceOptions struct {
	// Bound is how long the fence may take; while it waits for running
	// statements, new writes wait behind it. 0 means DefaultFenceBound.
	Bound time.Duration
	// Ready is waited for before anything changes; an error of it is the fence's. nil:
	// there is nothing to wait for.
	Ready func(context.Context) error
}

// FenceResult says what the fence did. It is filled in as far as the fence came
// when an error is returned beside it.
type FenceResult struct {
	ReadOnly       bool     `json:"readOnly"`       // read_only=1 is confirmed
	EventScheduler string   `json:"eventScheduler"` // what it was before
	Killed         []Killed `json:"killed,omitempty"`
	Binlog         Binlog   `json:"binlog"` // where the server's history ends
	ReadOnlyMS     float64  `json:"readOnlyMs"`
	TotalMS        float64  `json:"totalMs"`
}

// Fence takes write access away, in bounded time and so that it can be undone:
// read_only=1, scheduler off, and what could still write killed. Plain readers
// go on.
//
// ErrFenceTimeout means that a session could not be waited for; with ReadOnly
// false in the result nothing has changed. ErrWaitingForAck, ErrPreparedXA and
// ErrEventsEnabled refuse, the first possibly after read_only=1 (see the
// result). ErrUnknown means that not even read_only is known.
func (s *Server) Fence(ctx context.Context, o FenceOptions) (FenceResult, error) {
	var res FenceResult
	if o.Bound == 0 {
		o.Bound = DefaultFenceBound
	}
	if o.Bound < 0 || o.Bound > MaxFenceBound {
		return res, fmt.Errorf("fence %s: bound %s is not between 0 and %s", s.cfg.Address, o.Bound, MaxFenceBound)
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, o.Bound)
	defer cancel()
	end, err := s.begin(ctx, "fence")
	if err != nil {
		return res, err
	}
	defer end()
	err = s.fence(ctx, &res, start, o.Ready)
	res.TotalMS = milliseconds(time.Since(start))
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrUnknown) {
			err = fmt.Errorf("%w: %w", ErrFenceTimeout, err)
		}
		s.log.Warn("fence failed", "read_only", res.ReadOnly, "killed", len(res.Killed), "error", err)
		return res, fmt.Errorf("fence %s: %w", s.cfg.Address, err)
	}
	s.log.Info("fenced", "gtid", res.Binlog.GTIDBinlogPos, "killed", len(res.Killed), "ms", res.TotalMS)
	return res, nil
}

func (s *Server) fence(ctx context.Context, res *FenceResult, start time.Time, ready func(context.Context) error) error {
	c, err := s.session(ctx, s.urgent)
	if err != nil {
		return err
	}
	defer c.close()
	w, err := s.beforeFence(ctx, c, res)
	if err != nil {
		return err
	}
	if ready != nil {
		if err := ready(ctx); err != nil {
			return errors.Join(err, s.undoScheduler(ctx, res))
		}
	}
	if err := s.boundedReadOnly(ctx, c, res); err != nil {
		return errors.Join(err, s.undoScheduler(ctx, res))
	}
	res.ReadOnlyMS = milliseconds(time.Since(start))
	first, err := c.binlog(ctx, RoleMaster)
	if err != nil {
		return err
	}
	if err := s.sweep(ctx, c, w, false, &res.Killed); err != nil {
		return err
	}
	res.Binlog, err = s.stablePosition(ctx, c, first)
	return err
}

// beforeFence does what needs no standstill: refuse, find the accounts that
// read_only does not stop, and stop the scheduler.
func (s *Server) beforeFence(ctx context.Context, c *session, res *FenceResult) (*writers, error) {
	v, err := c.version(ctx)
	if err != nil {
		return nil, err
	}
	if err := v.Supported(); err != nil {
		return nil, err
	}
	if err := c.preparedXA(ctx); err != nil {
		return nil, err
	}
	if err := c.hopelessAck(ctx); err != nil {
		return nil, err
	}
	w, err := c.writers(ctx, v)
	if err != nil {
		return nil, err
	}
	was, err := c.readOnly(ctx)
	if err != nil {
		return nil, err
	}
	res.EventScheduler, err = s.stopScheduler(ctx, c)
	if !was { // a fence that is repeated finds it off by its own doing
		s.schedulerWasOff.Store(res.EventScheduler != "ON")
	}
	return w, err
}

// hopelessAck returns ErrWaitingForAck at once if sessions wait and no replica
// is connected that could answer. Otherwise a wait is a commit as any other,
// and ends.
func (c *session) hopelessAck(ctx context.Context) error {
	st, err := c.settings(ctx, "read semi-sync status", `SHOW GLOBAL STATUS WHERE Variable_name IN
('Rpl_semi_sync_master_clients','Rpl_semi_sync_master_wait_sessions')`)
	if err != nil {
		return err
	}
	if n := st.uint("Rpl_semi_sync_master_wait_sessions"); n > 0 && st.uint("Rpl_semi_sync_master_clients") == 0 {
		return fmt.Errorf("%w: %d sessions, and no replica is connected", ErrWaitingForAck, n)
	}
	return nil
}

// boundedReadOnly sets read_only=1 within what is left of ctx. The limit is the
// server's: a statement whose client went away could still take effect a second
// later. So the caller's cancellation does not interrupt it either.
func (s *Server) boundedReadOnly(ctx context.Context, c *session, res *FenceResult) error {
	left := remaining(ctx, s.cfg.StatementTimeout)
	if left <= 0 {
		return fmt.Errorf("set read_only: no time left: %w", context.DeadlineExceeded)
	}
	err := c.execWithin(context.WithoutCancel(ctx), left+s.cfg.StatementTimeout, "set read_only",
		limited(left, "SET GLOBAL read_only=1"))
	dctx, cancel := s.detached(ctx)
	defer cancel()
	if err == nil {
		if res.ReadOnly, err = c.readOnly(dctx); err == nil && !res.ReadOnly {
			err = fmt.Errorf("read_only is 0 after it was set to 1: %w", ErrFencedMeanwhile)
		}
		return err
	}
	// Whatever the error says, the server has the last word.
	check, cerr := s.session(dctx, s.urgent)
	if cerr != nil {
		return fmt.Errorf("%w: %w: %w", ErrUnknown, err, cerr)
	}
	defer check.close()
	on, cerr := check.readOnly(dctx)
	if cerr != nil {
		return fmt.Errorf("%w: %w: %w", ErrUnknown, err, cerr)
	}
	res.ReadOnly = on
	if !timedOut(err) {
		return err
	}
	if now, lerr := check.clients(dctx, clientsQuery); lerr == nil {
		if ack := waitingForAck(now); ack != nil {
			return errors.Join(ack, err)
		}
	}
	return fmt.Errorf("%w: a statement or LOCK TABLES could not be waited for: %w", ErrFenceTimeout, err)
}

// stablePosition reads where the history ends until that is what was read before
// (R26), and read_only with it. first was read when read_only=1 was confirmed, which
// waits for commits that run; since then the sweep looked for who passes it, and found
// nobody left. So time proves nothing here: a pause comes only after two readings that
// differ.
func (s *Server) stablePosition(ctx context.Context, c *session, first Binlog) (Binlog, error) {
	for {
		second, err := c.binlog(ctx, RoleMaster)
		if err != nil {
			return second, err
		}
		if second == first {
			break
		}
		first = second
		if err := sleep(ctx, stablePause); err != nil {
			return first, fmt.Errorf("position is not stable at %s: %w", first.GTIDBinlogPos, err)
		}
	}
	on, err := c.readOnly(ctx)
	if err == nil && !on {
		err = errors.New("read_only was turned off by somebody else")
	}
	return first, err
}

// remaining is what is left of ctx, or most if it has no deadline.
func remaining(ctx context.Context, most time.Duration) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	if d, ok := ctx.Deadline(); ok {
		return time.Until(d)
	}
	return most
}

// limited gives a statement that the server itself ends after d.
func limited(d time.Duration, statement string) string {
	seconds := strconv.FormatFloat(max(d.Seconds(), 0.001), 'f', 3, 64)
	lockWait := strconv.Itoa(int(d/time.Second) + 1) // whole seconds only: a second net
	return "SET STATEMENT max_statement_time=" + seconds + ", lock_wait_timeout=" + lockWait + " FOR " + statement
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
