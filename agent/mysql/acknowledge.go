package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"time"
)

// translateTimeout bounds the source's translation of a position, for which it reads a file
// of its binary log from the beginning; nobody waits for it.
const translateTimeout = 10 * time.Second

// ErrNotReceived is returned by AcknowledgeReceived if the replica cannot vouch for a
// position that it names: it acknowledged nothing.
var ErrNotReceived = errors.New("what is before this position was not received")

// Acknowledged is what AcknowledgeReceived found and did.
type Acknowledged struct {
	Waiting  uint64 // sessions of the source that wait for an acknowledgement
	File     string // of the source's binary log, up to where it was acknowledged; empty: it was not
	Position uint64 // bytes
	GTID     string // the same
}

// Turn waits for nothing: it says whether the server is the caller's to change now, and
// whether it may acknowledge. The context that it returns ends when somebody else wants the turn.
type Turn func(context.Context) (taken context.Context, release func(), err error)

// AcknowledgeReceived tells the source once more what this replica has received, if
// commits wait there. A commit whose acknowledgement was on its way when the replica's
// connection ended is never acknowledged otherwise, until the next one is: with GTIDs the
// source neither sends it again nor counts the position that the replica comes back with. And with two
// groups of commits under way there is no next one: the second holds the binary log while
// it waits for the first.
//
// A connection that asks for the binary log by file and position, as a replica without
// GTIDs does, has its position counted as acknowledged. This is such a connection, for
// a moment. The position is the one the IO thread has come to; the source says what that is in GTIDs, and
// it is acknowledged only if the replica has received all of that. Nothing is written anywhere.
//
// may is asked just before, and everything is looked at again in its turn (R19, R20): so nothing is
// acknowledged after StopReceiving, or after SemiSyncReplica turned it off.
func (s *Server) AcknowledgeReceived(ctx context.Context, may Turn) (Acknowledged, error) {
	a, err := s.acknowledgeReceived(ctx, may)
	if err != nil {
		return a, fmt.Errorf("acknowledge what %s received: %w", s.cfg.Address, err)
	}
	return a, nil
}

func (s *Server) acknowledgeReceived(ctx context.Context, may Turn) (a Acknowledged, err error) {
	r, id, err := s.receiving(ctx)
	if err != nil {
		return a, err
	}
	source, conn, closeSource, err := s.askSource(ctx, r)
	if err != nil {
		return a, err
	}
	defer closeSource()
	st, err := source.settings(ctx, "read semi-sync status", "SHOW GLOBAL STATUS WHERE Variable_name='Rpl_semi_sync_master_wait_sessions'")
	if err != nil {
		return a, err
	}
	if a.Waiting = st.uint("Rpl_semi_sync_master_wait_sessions"); a.Waiting == 0 {
		return a, nil
	}
	if r.ReadSourcePos > math.MaxUint32 {
		return a, fmt.Errorf("%w: position %d of %s is too large to be named", ErrNotReceived, r.ReadSourcePos, r.SourceFile)
	}
	want, err := source.gtidAt(ctx, r)
	if err != nil {
		return a, err
	}
	if err := r.hasReceived(want); err != nil {
		return a, err
	}
	const prepare = "SET @master_binlog_checksum=@@global.binlog_checksum, @mariadb_slave_capability=4, @rpl_semi_sync_slave=1"
	if err := source.exec(ctx, "prepare the dump", prepare); err != nil {
		return a, err
	}
	taken, release, err := may(ctx)
	if err != nil {
		return a, err
	}
	defer release()
	taken, cancel := context.WithTimeout(taken, s.cfg.StatementTimeout) // nobody else changes the server meanwhile
	defer cancel()
	now, _, err := s.receiving(taken)
	if err != nil {
		return a, err
	}
	if now.Source() != r.Source() || now.SourceServerID != r.SourceServerID {
		return a, fmt.Errorf("%w: the source is %s by now", ErrNotReceived, now.Source())
	}
	if err := now.hasReceived(want); err != nil {
		return a, err
	}
	if err := conn.dump(taken, r.SourceFile, uint32(r.ReadSourcePos), id); err != nil {
		return a, err
	}
	a.File, a.Position, a.GTID = r.SourceFile, r.ReadSourcePos, want.String()
	return a, nil
}

// receiving is the replication of a replica that receives and acknowledges; id is what
// it calls itself when it asks for a dump beside its replica's.
func (s *Server) receiving(ctx context.Context) (r *Replication, id uint32, err error) {
	c, err := s.session(ctx, s.work)
	if err != nil {
		return nil, 0, err
	}
	defer c.close()
	// R20: acknowledging was read before the position, so what it is at the position is known
	// to have been on a connection that may.
	active, err := c.acknowledges(ctx)
	if err != nil {
		return nil, 0, err
	}
	if r, err = c.replica(ctx); err != nil {
		return nil, 0, err
	}
	if !active || r.IORunning != "Yes" || r.UsingGTID != usingSlavePos || r.SourceFile == "" {
		return nil, 0, fmt.Errorf("%w: io thread %q, acknowledging %s, gtid %s", ErrNotReceived, r.IORunning, onOff(active), r.UsingGTID)
	}
	own, err := c.value(ctx, "read server_id", "SELECT @@global.server_id")
	if err != nil {
		return nil, 0, err
	}
	n, err := strconv.ParseUint(own, 10, 32)
	return r, uint32(n) ^ ownDumpID, err
}

// hasReceived returns ErrNotReceived unless everything before a position was received.
func (r *Replication) hasReceived(want GTIDPos) error {
	have, err := ParseGTIDPos(r.GtidIOPos)
	if err != nil {
		return fmt.Errorf("gtid_io_pos: %w", err)
	}
	if !have.Covers(want) {
		return fmt.Errorf("%w: %s of %s is %s, received is %s", ErrNotReceived, strconv.FormatUint(r.ReadSourcePos, 10), r.SourceFile, want, orNone(r.GtidIOPos))
	}
	return nil
}

// gtidAt asks a source what the position of a replica is in GTIDs.
func (c *session) gtidAt(ctx context.Context, r *Replication) (GTIDPos, error) {
	c.timeout = translateTimeout
	answer, err := c.one(ctx, "gtid of a position", "SELECT BINLOG_GTID_POS(?, ?) AS pos, @@global.server_id AS id", r.SourceFile, r.ReadSourcePos)
	if err != nil {
		return nil, err
	}
	pos, known := answer["pos"]
	if !known { // NULL
		return nil, fmt.Errorf("%w: the source has no position %d in %s", ErrNotReceived, r.ReadSourcePos, r.SourceFile)
	}
	if answer.uint("id") != uint64(r.SourceServerID) { // R24
		return nil, fmt.Errorf("%w: at %s is server %s, not %d", ErrNotReceived, r.Source(), answer["id"], r.SourceServerID)
	}
	return ParseGTIDPos(pos)
}

// askSource logs in at the source, with the account that this server replicates with.
func (s *Server) askSource(ctx context.Context, r *Replication) (c *session, conn *dumpConn, end func(), err error) {
	if s.cfg.ReplicationUser == "" {
		return nil, nil, nil, errors.New("no replication account is configured")
	}
	t, err := s.cfg.ReplicationTLS.client(r.SourceHost)
	if err != nil {
		return nil, nil, nil, err
	}
	connector, err := newConnector(dialConfig{address: r.Source(), user: s.cfg.ReplicationUser, password: s.cfg.ReplicationPassword,
		timeout: s.cfg.StatementTimeout, log: s.cfg.Logger, wrap: func(raw net.Conn) net.Conn {
			conn = newDumpConn(raw, t)
			return conn
		}})
	if err != nil {
		return nil, nil, nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	c, err = s.session(ctx, db)
	if err != nil {
		_ = db.Close() // nothing is open
		return nil, nil, nil, err
	}
	return c, conn, func() {
		c.discard()
		_ = db.Close() // the connection is gone
	}, nil
}
