package mysql

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Received is what a replica has of its source.
type Received struct {
	GTID    string `json:"gtid"`    // received, applied or not
	Applied string `json:"applied"` // gtid_slave_pos
	// FromRelayLog says that the server no longer knew, after a start of its
	// own, and the relay log's files were read.
	FromRelayLog bool `json:"fromRelayLog,omitempty"`
}

// Drained reports whether all that was received is applied.
func (r Received) Drained() (bool, error) {
	got, err := ParseGTIDPos(r.GTID)
	if err != nil {
		return false, err
	}
	applied, err := ParseGTIDPos(r.Applied)
	return applied.Covers(got), err
}

// maxRelayFiles bounds the relay log files that are read for one answer.
const maxRelayFiles = 10_000

// StopReceiving stops the IO thread, so that this replica acknowledges nothing
// more, and says what it has received (R19). The SQL thread goes on. Repeating
// it is fine.
func (s *Server) StopReceiving(ctx context.Context) (Received, error) {
	var rec Received
	err := s.change(ctx, "stop receiving", func(c *session) error {
		if err := c.stopReceiving(ctx); err != nil {
			return err
		}
		scan, err := c.received(ctx)
		rec = scan.Received
		return err
	})
	return rec, err
}

func (c *session) stopReceiving(ctx context.Context) error {
	if _, err := c.replica(ctx); err != nil {
		return err
	}
	if err := c.stopIO(ctx); err != nil {
		return err
	}
	r, err := c.replica(ctx)
	if err == nil && r.IORunning != "No" {
		err = fmt.Errorf("io thread is %q after it was stopped", r.IORunning)
	}
	return err
}

// Resume starts what is stopped of a replica, for one that was restarted or a
// switch that was rolled back. It keeps what is in the relay log (see Drain),
// and returns a *PositionTimeoutError while that takes longer than the statement
// timeout: call it again.
func (s *Server) Resume(ctx context.Context) error {
	return s.change(ctx, "resume replication", func(c *session) error {
		r, err := c.replica(ctx)
		if err != nil {
			return err
		}
		if r.UsingGTID != usingSlavePos && r.IORunning != "No" { // Drain leaves it stopped
			return fmt.Errorf("%w: it uses %q: make it follow its source anew", ErrNotGTID, r.UsingGTID)
		}
		return c.restart(ctx, r, s.cfg.StatementTimeout)
	})
}

// restart starts the threads that do not run. Starting one while the other runs
// keeps the relay log; starting the first in GTID mode deletes it, so it is
// applied before.
func (c *session) restart(ctx context.Context, r *Replication, timeout time.Duration) error {
	if err := c.stopSource(ctx); err != nil {
		return err
	}
	if r.UsingGTID == usingSlavePos && (r.IORunning != "No" || r.SQLRunning != "No") {
		return c.exec(ctx, "start slave", "START SLAVE")
	}
	if _, err := c.drain(ctx, timeout); err != nil {
		return err
	}
	if err := c.exec(ctx, "stop slave", "STOP SLAVE"); err != nil {
		return err
	}
	if err := c.exec(ctx, "use gtid", "CHANGE MASTER TO MASTER_USE_GTID=slave_pos"); err != nil {
		return err
	}
	return c.exec(ctx, "start slave", "START SLAVE")
}

// Drain applies what a replica has received, and receives nothing more. Use it
// before a promotion whose source is gone, above all after the replica itself
// was restarted: a plain START SLAVE would then delete the relay log unread.
// It returns a *PositionTimeoutError if timeout passes; the server goes on applying.
func (s *Server) Drain(ctx context.Context, timeout time.Duration) (Received, error) {
	var rec Received
	err := s.change(ctx, "drain relay log", func(c *session) error {
		var err error
		rec, err = c.drain(ctx, timeout)
		return err
	})
	return rec, err
}

func (c *session) drain(ctx context.Context, timeout time.Duration) (Received, error) {
	if err := c.stopReceiving(ctx); err != nil {
		return Received{}, err
	}
	scan, err := c.received(ctx)
	rec := scan.Received
	if err != nil {
		return rec, err
	}
	if done, err := rec.Drained(); done || err != nil {
		return rec, err
	}
	if err := c.stopSource(ctx); err != nil {
		return rec, err
	}
	r, err := c.replica(ctx)
	if err != nil {
		return rec, err
	}
	if r.SQLRunning != "Yes" {
		if err := c.applyRelayLog(ctx, r, scan); err != nil {
			return rec, err
		}
	}
	want, err := ParseGTIDPos(rec.GTID)
	if err != nil {
		return rec, err
	}
	if err := c.waitPosition(ctx, want, timeout); err != nil {
		return rec, err
	}
	rec.Applied, err = c.value(ctx, "read position", "SELECT @@global.gtid_slave_pos")
	return rec, err
}

// applyRelayLog starts the SQL thread on the relay log as it is. In GTID mode a
// start of the first thread deletes the relay log, trusting that the source can
// send it again; naming the file and position keeps it.
func (c *session) applyRelayLog(ctx context.Context, r *Replication, scan relayScan) error {
	if scan.file == "" { // known from the server's memory: look for the place now
		var err error
		if scan, err = c.scanRelayLog(ctx, r, scan.Applied); err != nil {
			return err
		}
		if scan.file == "" {
			return fmt.Errorf("nothing is in the relay log, though %s was received and %s is applied", scan.GTID, scan.Applied)
		}
	}
	file, err := quoteMax("relay log", scan.file, maxPathLiteral)
	if err != nil {
		return err
	}
	// The source's coordinates are for show, as the IO thread stays stopped. But
	// the server (10.11.19) dies on SIGSEGV if they are empty and it applies in
	// parallel: it compares log names by their number.
	source, pos := cmp.Or(r.RelaySourceFile, r.SourceFile, "unknown.000001"), max(r.ExecSourcePos, 4)
	sourceFile, err := quoteMax("source log", source, maxPathLiteral)
	if err != nil {
		return err
	}
	err = c.exec(ctx, "keep relay log", "CHANGE MASTER TO RELAY_LOG_FILE="+file+
		", RELAY_LOG_POS="+strconv.FormatUint(scan.pos, 10)+
		", MASTER_LOG_FILE="+sourceFile+", MASTER_LOG_POS="+strconv.FormatUint(pos, 10)+", MASTER_USE_GTID=no")
	if err != nil {
		return err
	}
	return c.exec(ctx, "start sql thread", "START SLAVE SQL_THREAD")
}

// relayScan is Received and, if the relay log was read, where in it the first
// transaction stands that is not applied.
type relayScan struct {
	Received
	file string // empty: none
	pos  uint64 // bytes
}

// received finds out what the replica has. The server knows while it replicates,
// and forgets with a restart; and with both threads stopped it still names what CHANGE
// MASTER has deleted since, as when the answer to that was lost: then the relay log's files tell.
func (c *session) received(ctx context.Context) (relayScan, error) {
	r, err := c.replica(ctx)
	if err != nil {
		return relayScan{}, err
	}
	_, _, applied, err := c.gtids(ctx)
	if err != nil {
		return relayScan{}, err
	}
	if r.GtidIOPos != "" && (r.IORunning != "No" || r.SQLRunning != "No") {
		return relayScan{Received: Received{GTID: r.GtidIOPos, Applied: applied}}, nil
	}
	return c.scanRelayLog(ctx, r, applied)
}

// scanRelayLog reads the relay log from where it is executed to its end.
func (c *session) scanRelayLog(ctx context.Context, r *Replication, applied string) (relayScan, error) {
	scan := relayScan{Received: Received{GTID: applied, Applied: applied, FromRelayLog: true}}
	have, err := ParseGTIDPos(applied)
	if err != nil || r.RelayFile == "" {
		return scan, err
	}
	g := groupReader{applied: have, got: GTIDPos{}}
	for _, gtid := range have {
		g.got.advance(gtid)
	}
	file, from := r.RelayFile, r.RelayPos
	for range maxRelayFiles {
		name, err := quoteMax("relay log", file, maxPathLiteral)
		if err != nil {
			return scan, err
		}
		query := "SHOW RELAYLOG EVENTS IN " + name
		if from > 4 { // every file starts with 4 bytes that are no event
			query += " FROM " + strconv.FormatUint(from, 10)
		}
		err = c.each(ctx, "read relay log", query, func(row record) error { return g.event(file, row) })
		if errNumber(err) == errUnknownRelayLog && strings.Contains(err.Error(), "Could not find target log") {
			break
		}
		// Any other 1220 is the torn end of a file that the server was writing
		// when it died: it was not acknowledged. A later file may follow.
		if err != nil && errNumber(err) != errUnknownRelayLog {
			return scan, err
		}
		if file, err = nextLogFile(file); err != nil {
			return scan, err
		}
		from = 0
	}
	scan.GTID, scan.file, scan.pos = g.got.String(), g.file, g.pos
	return scan, nil
}

// groupReader follows the transactions of a relay log. Only whole ones count as
// received: the end of one is what is acknowledged.
type groupReader struct {
	applied, got GTIDPos
	open         *GTID // the transaction that is being read
	openFile     string
	openPos      uint64
	single       bool // it is one statement without BEGIN
	file         string
	pos          uint64 // of the first whole transaction that is not applied
}

func (g *groupReader) event(file string, row record) error {
	kind, info := row["Event_type"], row["Info"]
	if kind == "Gtid" {
		at := strings.LastIndex(info, "GTID ")
		if at < 0 {
			return fmt.Errorf("%w: event %q", ErrBadGTID, clip(info))
		}
		text, _, _ := strings.Cut(info[at+len("GTID "):], " ") // a commit id may follow
		gtid, err := ParseGTID(text)
		if err != nil {
			return err
		}
		g.open, g.openFile, g.openPos = &gtid, file, row.uint("Pos")
		g.single = !strings.HasPrefix(info, "BEGIN") && !strings.HasPrefix(info, "XA START")
		return nil
	}
	if g.open == nil {
		return nil
	}
	switch {
	case kind == "Xid", kind == "XA_prepare":
	case kind == "Query" && (g.single || info == "COMMIT" || info == "ROLLBACK"):
	default:
		return nil
	}
	if g.file == "" && !g.applied.Covers(GTIDPos{g.open.Domain: *g.open}) {
		g.file, g.pos = g.openFile, g.openPos
	}
	g.got.advance(*g.open)
	g.open = nil
	return nil
}

// nextLogFile gives the name after one such as relay-bin.000009.
func nextLogFile(file string) (string, error) {
	dot := strings.LastIndexByte(file, '.')
	n, err := strconv.ParseUint(file[dot+1:], 10, 63)
	if dot < 0 || err != nil {
		return "", fmt.Errorf("log file %q has no number", clip(file))
	}
	return fmt.Sprintf("%s.%06d", file[:dot], n+1), nil
}
