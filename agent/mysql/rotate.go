package mysql

import (
	"context"
	"fmt"
)

// Sizes of the current binary log file, in bytes, above which a new one is begun.
//
// A replica that connects by GTID makes its source read that file from the beginning to
// the replica's position (10.11 has no index of GTIDs), and the first commit on a new primary
// waits for one that has connected: after 75,000 small transactions some 50 ms longer than
// at first. A file may hold a GiB.
const (
	// RotateAhead is for a candidate while it still replicates: it costs clients nothing.
	RotateAhead = 256 << 10
	// rotateNow is for one that is promoted at this moment: clients wait for the
	// new file, some ms.
	rotateNow = 8 << 20
)

// Rotate begins a new file of the server's binary log if the current one is larger
// than limit, bytes. Replicas are told nothing of it: it is not replicated.
func (s *Server) Rotate(ctx context.Context, limit uint64) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.StatementTimeout)
	defer cancel()
	c, err := s.workSession(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.rotate(ctx, limit); err != nil {
		return fmt.Errorf("begin a new binary log file of %s: %w", s.cfg.Address, err)
	}
	return nil
}

func (c *session) rotate(ctx context.Context, limit uint64) error {
	_, position, err := c.binlogPosition(ctx)
	if err != nil || position <= limit {
		return err
	}
	return c.exec(ctx, "flush binary logs", "FLUSH LOCAL BINARY LOGS")
}
