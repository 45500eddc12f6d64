package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// How a replica talks to its source.
const (
	usingSlavePos    = "Slave_Pos"
	connectRetry     = "1"   // seconds
	heartbeatSeconds = "0.5" // a source that is silent for longer is looked after by slave_net_timeout
)

// Source is whom to follow.
type Source struct {
	Host string
	Port uint16
	// Async keeps this replica from acknowledging even if Config.SemiSync is set,
	// as long as the record does not name it (R20).
	Async bool
	// GTIDState is the source's gtid_binlog_state merged with its gtid_slave_pos.
	// If it is given, a server with errant transactions is refused untouched.
	GTIDState string
	// Ready is waited for before anything is done that is more than to stop: an error of
	// it is Follow's. nil: there is nothing to wait for.
	Ready func(context.Context) error
}

func (src Source) ready(ctx context.Context) error {
	if src.Ready == nil {
		return nil
	}
	return src.Ready(ctx)
}

// Following is what Follow did.
type Following struct {
	Already     bool         `json:"already"` // it followed that source before, and runs
	Demoted     bool         `json:"demoted"` // its own transactions became part of gtid_slave_pos
	Killed      []Killed     `json:"killed,omitempty"`
	Replication *Replication `json:"replication,omitempty"`
	TotalMS     float64      `json:"totalMs"`
}

// Follow makes the server a replica of src, read-only before anything else, and
// waits for at most the statement timeout until it is connected. A
// *ReplicationError says why it is not: ErrSourceUnreachable goes on being
// tried by the server itself; ErrErrant and ErrPurged need a clone.
//
// ErrWaitingForAck refuses: turning the semi-sync source off would tell clients
// that their commit is safe. Such a server has to be killed and started as a
// replica (R22).
func (s *Server) Follow(ctx context.Context, src Source) (Following, error) {
	var f Following
	start := time.Now()
	err := s.change(ctx, "following", func(c *session) error { return s.follow(ctx, c, src, &f) })
	f.TotalMS = milliseconds(time.Since(start))
	if err != nil {
		s.log.Warn("following failed", "source", src.Host, "port", src.Port, "error", err)
		return f, err
	}
	if !f.Already {
		s.log.Info("following", "source", src.Host, "port", src.Port, "demoted", f.Demoted, "ms", f.TotalMS)
	}
	return f, nil
}

func (s *Server) follow(ctx context.Context, c *session, src Source, f *Following) error {
	change, err := s.changeMaster(src)
	if err != nil {
		return err
	}
	var fence FenceResult
	if err := s.boundedReadOnly(ctx, c, &fence); err != nil {
		return err
	}
	r, err := c.singleSource(ctx)
	if err != nil {
		return err
	}
	if err := s.checkErrant(ctx, c, src); err != nil {
		return err
	}
	if f.Already, err = s.follows(ctx, c, r, src); err != nil || f.Already {
		f.Replication = r
		return err
	}
	same := r != nil && r.SourceHost == src.Host && r.SourcePort == src.Port
	if r == nil || same { // it was a primary, or applies what it has: more than to stop
		if err := src.ready(ctx); err != nil {
			return err
		}
	}
	if err := s.demote(ctx, c, r, f); err != nil {
		return err
	}
	if same {
		// Only this source may have what is in the relay log, and CHANGE MASTER
		// deletes that. Another source is the new primary: it has all that counts.
		if err := c.keepReceived(ctx, r, s.cfg.StatementTimeout); err != nil {
			return err
		}
	}
	if r == nil {
		if err := s.inherit(ctx, c, src); err != nil {
			return err
		}
	}
	if err := s.repoint(ctx, c, src, change, f); err != nil {
		return err
	}
	f.Replication, err = c.awaitConnected(ctx, s.cfg.StatementTimeout)
	if err == nil {
		err = f.Replication.Err()
	}
	return err
}

// follows reports whether everything is as Follow would make it.
func (s *Server) follows(ctx context.Context, c *session, r *Replication, src Source) (bool, error) {
	if r == nil || r.SourceHost != src.Host || r.SourcePort != src.Port || r.SourceUser != s.cfg.ReplicationUser ||
		r.UsingGTID != usingSlavePos || r.TLS != s.cfg.ReplicationTLS.Enabled || !r.Running() {
		return false, nil
	}
	v, err := c.settings(ctx, "read semi-sync", `SHOW GLOBAL VARIABLES WHERE Variable_name IN
('rpl_semi_sync_master_enabled','rpl_semi_sync_slave_enabled')`)
	if err != nil || v.on("rpl_semi_sync_master_enabled") {
		return false, err
	}
	if !s.cfg.SemiSync {
		return true, nil
	}
	active, err := c.acknowledges(ctx)
	want := !src.Async
	return v.on("rpl_semi_sync_slave_enabled") == want && active == want, err
}

func (s *Server) checkErrant(ctx context.Context, c *session, src Source) error {
	if src.GTIDState == "" {
		return nil
	}
	source, err := ParseGTIDState(src.GTIDState)
	if err != nil {
		return fmt.Errorf("state of the source: %w", err)
	}
	_, binlogState, slavePos, err := c.gtids(ctx)
	if err != nil {
		return err
	}
	mine, err := executed(binlogState, slavePos)
	if err != nil {
		return err
	}
	if errant := Errant(mine, source); len(errant) > 0 {
		return &ErrantError{GTIDs: errant}
	}
	return nil
}

// demote ends what only a primary has: sessions with open transactions or the
// right to write, the running scheduler, and the semi-sync source.
func (s *Server) demote(ctx context.Context, c *session, r *Replication, f *Following) error {
	if r == nil {
		if err := c.hopelessAck(ctx); err != nil {
			return err
		}
		v, err := c.version(ctx)
		if err != nil {
			return err
		}
		w, err := c.writers(ctx, v)
		if err != nil {
			return err
		}
		if _, err := s.stopScheduler(ctx, c); err != nil {
			return err
		}
		sctx, cancel := context.WithTimeout(ctx, s.cfg.StatementTimeout)
		defer cancel()
		if err := s.sweep(sctx, c, w, true, &f.Killed); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("%w: %w", ErrFenceTimeout, err)
			}
			return err
		}
	}
	if err := c.stopSource(ctx); err != nil {
		return err
	}
	if r == nil { // it was a primary: what it has, the new one has
		s.endDumps(ctx, c, 0)
	}
	return nil
}

// repoint changes the source and starts.
func (s *Server) repoint(ctx context.Context, c *session, src Source, change string, f *Following) error {
	if err := c.stopIO(ctx); err != nil {
		return err
	}
	if err := c.exec(ctx, "stop slave", "STOP SLAVE"); err != nil {
		return err
	}
	if err := src.ready(ctx); err != nil {
		return err
	}
	if s.cfg.SemiSync {
		if err := c.exec(ctx, "set semi-sync replica", replicaStatement(!src.Async)); err != nil {
			return err
		}
	}
	v, err := c.version(ctx)
	if err != nil {
		return err
	}
	pos, err := c.one(ctx, "read positions", "SELECT @@global.gtid_slave_pos AS s, @@global.gtid_current_pos AS c")
	if err != nil {
		return err
	}
	// Own transactions that gtid_slave_pos lacks: the server was a primary.
	if f.Demoted = pos["s"] != pos["c"]; f.Demoted {
		if v.demotes() {
			change += ", MASTER_DEMOTE_TO_SLAVE=1"
		} else if err := c.adoptOwn(ctx); err != nil {
			return err
		}
	}
	if err := c.exec(ctx, "change master", change); err != nil {
		return err
	}
	return c.exec(ctx, "start slave", "START SLAVE")
}

// adoptOwn is MASTER_DEMOTE_TO_SLAVE for servers that do not know it.
func (c *session) adoptOwn(ctx context.Context) error {
	return c.exec(ctx, "adopt own transactions", "SET GLOBAL gtid_slave_pos=@@global.gtid_current_pos")
}

// keepReceived applies the relay log before it is deleted.
func (c *session) keepReceived(ctx context.Context, r *Replication, timeout time.Duration) error {
	if r.SQLRunning != "Yes" && r.IORunning != "No" {
		// A running IO thread keeps the relay log while the other starts.
		if err := c.exec(ctx, "start sql thread", "START SLAVE SQL_THREAD"); err != nil {
			return err
		}
	}
	_, err := c.drain(ctx, timeout)
	return err
}

// changeMaster gives the statement for src, without MASTER_DEMOTE_TO_SLAVE. It
// holds a password: it must not come near a log or an error.
func (s *Server) changeMaster(src Source) (string, error) {
	if src.Host == "" || src.Port == 0 {
		return "", fmt.Errorf("source %q port %d: host and port are needed", clip(src.Host), src.Port)
	}
	if host, port, err := splitAddress(s.cfg.Address); err == nil && host == src.Host && port == src.Port {
		return "", fmt.Errorf("%w: a server cannot follow itself", ErrSameServerID)
	}
	if s.cfg.ReplicationUser == "" {
		return "", errors.New("no replication account is configured")
	}
	password, err := s.cfg.ReplicationPassword()
	if err != nil {
		return "", fmt.Errorf("read password of %s: %w", s.cfg.ReplicationUser, err)
	}
	var errs []error
	q := func(what, v string, limit int) string {
		literal, err := quoteMax(what, v, limit)
		errs = append(errs, err)
		return literal
	}
	t := s.cfg.ReplicationTLS
	set := []string{
		"MASTER_HOST=" + q("source host", src.Host, maxHostLiteral),
		"MASTER_PORT=" + strconv.Itoa(int(src.Port)),
		"MASTER_USER=" + q("replication user", s.cfg.ReplicationUser, maxUserLiteral),
		"MASTER_PASSWORD=" + q("replication password", password, maxPasswordLiteral),
		"MASTER_CONNECT_RETRY=" + connectRetry,
		"MASTER_HEARTBEAT_PERIOD=" + heartbeatSeconds,
		"MASTER_SSL=" + bit(t.Enabled),
		"MASTER_SSL_CA=" + q("replication CA", t.CA, maxPathLiteral),
		"MASTER_SSL_CERT=" + q("replication certificate", t.Cert, maxPathLiteral),
		"MASTER_SSL_KEY=" + q("replication key", t.Key, maxPathLiteral),
		"MASTER_SSL_VERIFY_SERVER_CERT=" + bit(t.Verify),
		"MASTER_USE_GTID=slave_pos",
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	return "CHANGE MASTER TO " + strings.Join(set, ", "), nil
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
