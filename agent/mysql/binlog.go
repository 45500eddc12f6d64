package mysql

import (
	"context"
	"fmt"
)

// Role is the part whose position or fitness is asked for.
type Role string

// The roles, by the words of the protocol.
const (
	RoleMaster Role = "master"
	RoleSlave  Role = "slave"
)

// Binlog is a position. For the master it is where the server's own binary log
// ends; for the slave it is how far the source's binary log is executed, so
// that the two compare.
type Binlog struct {
	File     string `json:"file"`
	Position uint64 `json:"position"` // bytes

	GTIDBinlogPos   string `json:"gtidBinlogPos,omitempty"`
	GTIDBinlogState string `json:"gtidBinlogState,omitempty"`
	GTIDSlavePos    string `json:"gtidSlavePos,omitempty"`
	GTIDIOPos       string `json:"gtidIoPos,omitempty"`
}

// Binlog reads the position of a role. It returns ErrBinlogOff for a master
// without a binary log and ErrNotReplica for a slave without a source.
func (s *Server) Binlog(ctx context.Context, role Role) (Binlog, error) {
	c, err := s.workSession(ctx)
	if err != nil {
		return Binlog{}, err
	}
	defer c.close()
	b, err := c.binlog(ctx, role)
	if err != nil {
		return Binlog{}, fmt.Errorf("binlog position of %s as %s: %w", s.cfg.Address, role, err)
	}
	return b, nil
}

func (c *session) binlog(ctx context.Context, role Role) (Binlog, error) {
	var b Binlog
	switch role {
	case RoleMaster:
		var err error
		if b.File, b.Position, err = c.binlogPosition(ctx); err != nil {
			return b, err
		}
	case RoleSlave:
		r, err := c.replica(ctx)
		if err != nil {
			return b, err
		}
		b.File, b.Position, b.GTIDIOPos = r.RelaySourceFile, r.ExecSourcePos, r.GtidIOPos
	default:
		return b, fmt.Errorf("role %q is neither %q nor %q", clip(string(role)), RoleMaster, RoleSlave)
	}
	var err error
	b.GTIDBinlogPos, b.GTIDBinlogState, b.GTIDSlavePos, err = c.gtids(ctx)
	return b, err
}

// gtids reads the server's GTID positions.
func (c *session) gtids(ctx context.Context) (binlogPos, binlogState, slavePos string, err error) {
	r, err := c.one(ctx, "read gtid positions",
		"SELECT @@global.gtid_binlog_pos AS b, @@global.gtid_binlog_state AS st, @@global.gtid_slave_pos AS s")
	return r["b"], r["st"], r["s"], err
}

// binlogPosition reads where the server's own binary log ends.
func (c *session) binlogPosition(ctx context.Context) (string, uint64, error) {
	list, err := c.query(ctx, "show master status", "SHOW MASTER STATUS")
	if err != nil {
		return "", 0, err
	}
	if len(list) == 0 {
		return "", 0, fmt.Errorf("%w: set log_bin", ErrBinlogOff)
	}
	return list[0]["File"], list[0].uint("Position"), nil
}
