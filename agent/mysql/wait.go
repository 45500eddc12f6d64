package mysql

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// waitSlice is the longest single wait inside the server, and so the longest
// that one goes on there after its caller is gone. It costs no latency: the
// server answers the moment the position is reached.
const waitSlice = 200 * time.Millisecond

// WaitPosition waits until the server has applied everything up to gtid, the
// source's gtid_binlog_pos. It returns a *PositionTimeoutError after timeout,
// and a *ReplicationError as soon as the SQL thread has stopped with one.
func (s *Server) WaitPosition(ctx context.Context, gtid string, timeout time.Duration) error {
	want, err := ParseGTIDPos(gtid)
	if err != nil {
		return fmt.Errorf("wait for position: %w", err)
	}
	c, err := s.workSession(ctx)
	if err != nil {
		return fmt.Errorf("wait for position: %w", err)
	}
	defer c.close()
	if err := c.waitPosition(ctx, want, timeout); err != nil {
		return fmt.Errorf("wait for position at %s: %w", s.cfg.Address, err)
	}
	return nil
}

func (c *session) waitPosition(ctx context.Context, want GTIDPos, timeout time.Duration) error {
	start := time.Now()
	for {
		slice := min(waitSlice, max(timeout-time.Since(start), 0))
		v, err := c.value(ctx, "wait for gtid", "SELECT MASTER_GTID_WAIT(?, ?)", want.String(), seconds(slice))
		if err != nil {
			return err
		}
		if v == "0" {
			return nil
		}
		r, _, err := c.replication(ctx)
		if err != nil {
			return err
		}
		if r != nil && r.SQLErrno != 0 && r.SQLRunning == "No" {
			return &ReplicationError{Thread: "sql", Errno: r.SQLErrno, Text: r.SQLError}
		}
		if waited := time.Since(start); waited >= timeout {
			have, err := c.value(ctx, "read position", "SELECT @@global.gtid_slave_pos")
			if err != nil {
				return err
			}
			return &PositionTimeoutError{Want: want.String(), Have: have, Behind: r.behind(), Waited: waited}
		}
	}
}

// seconds gives a duration as the server's decimal seconds.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', 6, 64)
}
