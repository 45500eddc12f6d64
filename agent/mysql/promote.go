package mysql

import (
	"context"
	"fmt"
	"time"
)

// Promoted is what Promote did.
type Promoted struct {
	Already bool `json:"already"` // it was promoted before
	// GTIDBinlogPos is where the server's own history begins: what it had when it
	// became writable. A promotion that is repeated says where it is now.
	GTIDBinlogPos string  `json:"gtidBinlogPos"`
	TotalMS       float64 `json:"totalMs"`
}

// Promote makes the server the primary: replication ended, the semi-sync source on,
// read_only=0, the scheduler started, the source forgotten. It refuses with a
// *RelayNotDrainedError to throw away what was received and not applied; the IO
// thread stays stopped then. It gives way to SetReadOnly (ErrFencedMeanwhile), and
// is a hint only: whether the server becomes writable is up to may (R14).
//
// It returns when the server is writable. What clients need not wait for (forget)
// goes on after that, before any other change of this server; Close waits for it.
func (s *Server) Promote(ctx context.Context, may Permit) (Promoted, error) {
	p, replicated, err := s.promote(ctx, may)
	if err != nil {
		s.log.Warn("promotion failed", "error", err)
		return p, err
	}
	if !p.Already {
		s.log.Info("promoted", "gtid", p.GTIDBinlogPos, "ms", p.TotalMS, "replicated", replicated)
	}
	return p, nil
}

// promote also says whether the server has a source left, which is being forgotten.
func (s *Server) promote(ctx context.Context, may Permit) (p Promoted, replicated bool, err error) {
	start := time.Now()
	fences := s.fences.Load()
	end, err := s.begin(ctx, "promotion")
	if err != nil {
		return p, false, err
	}
	defer func() {
		if !replicated || err != nil {
			end()
			return
		}
		s.behind.Go(func() {
			defer end()
			s.forget(context.WithoutCancel(ctx))
		})
	}()
	c, err := s.workSession(ctx)
	if err == nil {
		replicated, err = s.open(ctx, c, may, fences, &p)
		c.close()
	}
	if err != nil {
		err = fmt.Errorf("promotion of %s: %w", s.cfg.Address, err)
	}
	p.TotalMS = milliseconds(time.Since(start))
	return p, replicated, err
}

// open is Promote up to the moment at which the server is writable.
func (s *Server) open(ctx context.Context, c *session, may Permit, fences uint64, p *Promoted) (replicated bool, err error) {
	was, err := c.readOnly(ctx)
	if err != nil {
		return false, err
	}
	r, err := c.singleSource(ctx)
	if err != nil {
		return false, err
	}
	replicated = r != nil
	if replicated {
		if err := c.endReplication(ctx); err != nil {
			return replicated, err
		}
	}
	if s.cfg.SemiSync {
		if err := c.exec(ctx, "turn semi-sync source on", semiSyncSourceOn); err != nil {
			return replicated, err
		}
	}
	if p.GTIDBinlogPos, err = c.value(ctx, "read position", "SELECT @@global.gtid_binlog_pos"); err != nil {
		return replicated, err
	}
	if err := c.rotate(ctx, rotateNow); err != nil {
		s.log.Warn("no new binary log file was begun: replicas may take long to connect", "error", err)
	}
	if err := s.makeWritable(ctx, c, may, fences); err != nil {
		return replicated, err
	}
	p.Already = !replicated && !was
	return replicated, s.startScheduler(ctx, c)
}

// StandBy does ahead what Promote does first: it ends the replication of a candidate that
// has applied all that it received. Of one that has not, only the IO thread is stopped,
// and the error is a *RelayNotDrainedError. Resume and Follow undo it.
func (s *Server) StandBy(ctx context.Context) error {
	return s.change(ctx, "stand-by", func(c *session) error { return c.endReplication(ctx) })
}

// endReplication ends replication for good, once everything received from the source
// is applied: nothing but the agent starts it again (skip_slave_start), and the agent
// does not as long as this server is the primary.
func (c *session) endReplication(ctx context.Context) error {
	if err := c.stopReceiving(ctx); err != nil {
		return err
	}
	scan, err := c.received(ctx)
	if err != nil {
		return err
	}
	drained, err := scan.Drained()
	if err != nil {
		return err
	}
	if !drained {
		return &RelayNotDrainedError{Received: scan.GTID, Applied: scan.Applied}
	}
	return c.exec(ctx, "stop slave", "STOP SLAVE")
}

// forget drops the source of a server that is writable, and the dump threads of an
// earlier reign. The first syncs several files. A source that is left over after a
// failure, or after the agent died, harms nobody: it is stopped, and the next Promote
// drops it.
func (s *Server) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.StatementTimeout)
	defer cancel()
	c, err := s.session(ctx, s.work)
	if err != nil {
		s.log.Warn("the former source is not forgotten yet", "error", err)
		return
	}
	defer c.close()
	if err := c.resetSource(ctx); err != nil {
		s.log.Warn("the former source is not forgotten yet", "error", err)
	}
	s.endDumps(ctx, c, zombieSeconds)
}

func (c *session) resetSource(ctx context.Context) error {
	if err := c.exec(ctx, "reset slave", "RESET SLAVE ALL"); err != nil {
		return err
	}
	r, err := c.singleSource(ctx)
	if err == nil && r != nil {
		err = fmt.Errorf("the server still has source %s", r.Source())
	}
	return err
}
