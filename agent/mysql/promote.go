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

// Promote makes the server the primary: replication ended and forgotten, the
// semi-sync source on, read_only=0, the scheduler started. It refuses with a
// *RelayNotDrainedError to throw away what was received and not applied; the IO
// thread stays stopped then. It gives way to SetReadOnly (ErrFencedMeanwhile), and
// is a hint only: whether the server becomes writable is up to may (R14).
func (s *Server) Promote(ctx context.Context, may Permit) (Promoted, error) {
	var p Promoted
	start := time.Now()
	fences := s.fences.Load()
	err := s.change(ctx, "promotion", func(c *session) error {
		was, err := c.readOnly(ctx)
		if err != nil {
			return err
		}
		r, err := c.singleSource(ctx)
		if err != nil {
			return err
		}
		if r != nil {
			if err := c.endReplication(ctx); err != nil {
				return err
			}
			s.endDumps(ctx, c, zombieSeconds)
		}
		if s.cfg.SemiSync {
			if err := c.exec(ctx, "turn semi-sync source on", semiSyncSourceOn); err != nil {
				return err
			}
		}
		if p.GTIDBinlogPos, err = c.value(ctx, "read position", "SELECT @@global.gtid_binlog_pos"); err != nil {
			return err
		}
		if err := s.makeWritable(ctx, c, may, fences); err != nil {
			return err
		}
		p.Already = r == nil && !was
		return s.startScheduler(ctx, c)
	})
	p.TotalMS = milliseconds(time.Since(start))
	if err != nil {
		s.log.Warn("promotion failed", "error", err)
		return p, err
	}
	if !p.Already {
		s.log.Info("promoted", "gtid", p.GTIDBinlogPos, "ms", p.TotalMS)
	}
	return p, nil
}

// endReplication stops and forgets the source, once everything received from it is applied.
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
	if err := c.exec(ctx, "stop slave", "STOP SLAVE"); err != nil {
		return err
	}
	if err := c.exec(ctx, "reset slave", "RESET SLAVE ALL"); err != nil {
		return err
	}
	r, err := c.singleSource(ctx)
	if err == nil && r != nil {
		err = fmt.Errorf("the server still has source %s", r.Source())
	}
	return err
}
