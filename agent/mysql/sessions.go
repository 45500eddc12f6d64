package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Killed is a session that was killed, for the record.
type Killed struct {
	ID   uint64 `json:"id"`
	User string `json:"user"`
	Host string `json:"host"`
	Why  string `json:"why"`
}

// Reasons of Killed.
const (
	whyOpenTransaction = "open transaction with changes or locks"
	whyWriter          = "may write on a read-only server"
)

// ackState is how a session shows that it waits for a semi-sync acknowledgement.
const ackState = "Waiting for semi-sync ACK"

// client is one session of the server.
type client struct {
	id                  uint64
	user, host, command string
	state               string
	// modified and locked count the rows of its open transaction, if the list was read with transactions.
	modified, locked uint64
}

func (p client) waitsForAck() bool { return strings.HasPrefix(p.state, ackState) }

// internal reports whether the session is a thread of the server or of a replica.
func (p client) internal() bool {
	switch {
	case p.user == "system user", p.user == "event_scheduler", p.user == "unauthenticated user":
		return true
	case strings.HasPrefix(p.command, "Binlog Dump"), strings.HasPrefix(p.command, "Slave_"),
		p.command == "Daemon", p.command == "Register Slave":
		return true
	}
	return false
}

const (
	clientsQuery = `SELECT p.ID, p.USER, p.HOST, p.COMMAND, p.STATE FROM information_schema.PROCESSLIST p
WHERE p.ID <> CONNECTION_ID()`
	// Mind transactionsFresh before using it.
	clientsWithTrxQuery = `SELECT p.ID, p.USER, p.HOST, p.COMMAND, p.STATE, t.trx_rows_modified AS modified, t.trx_rows_locked AS locked
FROM information_schema.PROCESSLIST p LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID
WHERE p.ID <> CONNECTION_ID()`
)

// transactionCache is how long the server shows an old INNODB_TRX: it renews the
// table only if the last reading, anybody's, is 100 ms ago, so that reading it in
// a loop never shows anything new.
const transactionCache = 110 * time.Millisecond

// transactionsFresh is how long to wait until INNODB_TRX is renewed, as far as
// our own readings decide.
func (s *Server) transactionsFresh() time.Duration {
	last := s.trxRead.Load()
	if last == nil {
		return 0
	}
	return transactionCache - time.Since(*last)
}

// transactionsRead notes a reading of INNODB_TRX.
func (s *Server) transactionsRead() {
	now := time.Now()
	s.trxRead.Store(&now)
}

// clients lists the sessions, all but this one.
func (c *session) clients(ctx context.Context, query string) ([]client, error) {
	list, err := c.query(ctx, "list sessions", query)
	if err != nil {
		return nil, err
	}
	out := make([]client, len(list))
	for i, r := range list {
		out[i] = client{
			id: r.uint("ID"), user: r["USER"], host: r["HOST"], command: r["COMMAND"], state: r["STATE"],
			modified: r.uint("modified"), locked: r.uint("locked"),
		}
	}
	return out, nil
}

// victims picks the sessions that could still write, or whose locks would stand
// in the way of replication. own is the agent's user, whose sessions are spared.
func victims(clients []client, own string, w *writers) (list []Killed) {
	for _, p := range clients {
		if p.user == own || p.internal() || p.waitsForAck() || p.command == "Killed" {
			continue
		}
		why := ""
		switch {
		case w.canWrite(p.user):
			why = whyWriter
		case p.modified > 0 || p.locked > 0:
			why = whyOpenTransaction
		default:
			continue
		}
		list = append(list, Killed{ID: p.id, User: p.user, Host: p.host, Why: why})
	}
	return list
}

func hasWriter(list []Killed) bool {
	return slices.ContainsFunc(list, func(k Killed) bool { return k.Why == whyWriter })
}

// waitingForAck returns ErrWaitingForAck if a client waits for one. A thread of
// replication that does is nobody's commit.
func waitingForAck(clients []client) error {
	for _, p := range clients {
		if p.waitsForAck() && !p.internal() {
			return fmt.Errorf("%w: session %d of %s from %s", ErrWaitingForAck, p.id, p.user, p.host)
		}
	}
	return nil
}

// kill ends the sessions. One that is gone already is fine.
func (c *session) kill(ctx context.Context, list []Killed) error {
	for _, k := range list {
		err := c.exec(ctx, fmt.Sprintf("kill session %d of %s", k.ID, k.User), "KILL CONNECTION "+strconv.FormatUint(k.ID, 10))
		if err != nil && errNumber(err) != errUnknownThread {
			return err
		}
	}
	return nil
}

// awaitGone waits until none of the sessions is left; a killed one stays until
// its transaction is rolled back.
func (c *session) awaitGone(ctx context.Context, list []Killed) error {
	if len(list) == 0 {
		return nil
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		now, err := c.clients(ctx, clientsQuery)
		if err != nil {
			return err
		}
		left := slices.IndexFunc(now, func(p client) bool {
			return slices.ContainsFunc(list, func(k Killed) bool { return k.ID == p.id })
		})
		if left < 0 {
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			p := now[left]
			return fmt.Errorf("session %d of %s was killed and is still there (%s): %w", p.id, p.user, p.state, err)
		}
	}
}

// preparedXA returns ErrPreparedXA if there are prepared XA transactions: they
// belong to no session, hold their locks, and commit when somebody says so.
func (c *session) preparedXA(ctx context.Context) error {
	list, err := c.query(ctx, "xa recover", "XA RECOVER")
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return fmt.Errorf("%w: %d of them: commit or roll them back", ErrPreparedXA, len(list))
	}
	return nil
}

// enabledEvents names the events that the scheduler would run.
func (c *session) enabledEvents(ctx context.Context) ([]string, error) {
	list, err := c.query(ctx, "list events", "SELECT db, name FROM mysql.event WHERE status='ENABLED' ORDER BY db, name")
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i, r := range list {
		names[i] = r["db"] + "." + r["name"]
	}
	return names, nil
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// timedOut reports whether the server or the clock ended a statement because it
// took too long.
func timedOut(err error) bool {
	switch errNumber(err) {
	case errStatementTime, errLockWaitTimeout:
		return true
	}
	return errors.Is(err, context.DeadlineExceeded)
}
