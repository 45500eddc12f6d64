package load

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Table is created by Prepare in the application's database.
const Table = "writes"

// Prepare makes the table that the load writes to.
func Prepare(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, "CREATE TABLE "+Table+" (id BIGINT AUTO_INCREMENT PRIMARY KEY, op BIGINT NOT NULL, part INT NOT NULL, note VARCHAR(64) NOT NULL, KEY (op)) ENGINE=InnoDB")
	if err != nil {
		return fmt.Errorf("create the table for the load: %w", err)
	}
	return nil
}

// Kind is how a write failed.
type Kind string

// The kinds of failures.
const (
	InDoubt Kind = "in_doubt"
	Aborted Kind = "aborted"
	Other   Kind = "other"
)

// Failure is a write that was not acknowledged.
type Failure struct {
	At   time.Time
	Kind Kind
	Err  error
}

// Ack is a write that was acknowledged.
type Ack struct {
	At    time.Time
	Op    int64
	Parts int
	Took  time.Duration // since it was due
}

// Config says where and how much. All fields are needed.
type Config struct {
	DBs         []*sql.DB     // one for each proxy
	Connections int           // to each; half of them write transactions
	Every       time.Duration // between two writes of one connection
	// Timeout bounds one write, from its beginning.
	Timeout time.Duration
	// After is the number of the last write of the load before, 0 for the first: those
	// that write to one table count on.
	After int64
}

// Load is a load that runs, or ran.
type Load struct {
	cfg   Config
	stop  context.CancelFunc
	wg    sync.WaitGroup
	first time.Time

	mu       sync.Mutex
	nextOp   int64
	acks     []Ack
	failures []Failure
}

// Start begins to write. Stop ends it.
func Start(ctx context.Context, cfg Config) *Load {
	ctx, cancel := context.WithCancel(ctx)
	l := &Load{cfg: cfg, stop: cancel, first: time.Now(), nextOp: cfg.After}
	n := len(cfg.DBs) * cfg.Connections
	for i, db := range cfg.DBs {
		for c := range cfg.Connections {
			// Spread over the interval, so that not all are due at once.
			offset := cfg.Every * time.Duration(i*cfg.Connections+c) / time.Duration(n)
			l.wg.Go(func() { l.write(ctx, db, c%2 == 1, offset) })
		}
	}
	return l
}

// Stop lets the writes under way end and stops.
func (l *Load) Stop() {
	l.stop()
	l.wg.Wait()
}

// write is one connection: a write is due at every interval.
func (l *Load) write(ctx context.Context, db *sql.DB, transaction bool, offset time.Duration) {
	w := &writer{db: db}
	defer w.drop()
	for i := 0; ; i++ {
		due := l.first.Add(offset + time.Duration(i)*l.cfg.Every)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		if ctx.Err() != nil {
			return
		}
		op := l.take()
		// A write that has begun may end: what stops the load does not break it.
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cfg.Timeout)
		parts, err := w.do(attempt, op, transaction)
		cancel()
		l.done(op, parts, due, err)
	}
}

// Last is the number of the last write that was begun.
func (l *Load) Last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nextOp
}

func (l *Load) take() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nextOp++
	return l.nextOp
}

func (l *Load) done(op int64, parts int, due time.Time, err error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.acks = append(l.acks, Ack{At: now, Op: op, Parts: parts, Took: now.Sub(due)})
		return
	}
	f := Failure{At: now, Kind: Other, Err: err}
	if e, ok := errors.AsType[*writeError](err); ok {
		f.Kind = e.kind
	}
	l.failures = append(l.failures, f)
}

// writeError is a failure with its kind.
type writeError struct {
	kind Kind
	err  error
}

func (e *writeError) Error() string { return string(e.kind) + ": " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// writer is one connection of a client.
type writer struct {
	db     *sql.DB
	conn   *sql.Conn
	insert *sql.Stmt // prepared on the server
}

// drop closes the connection; the next write opens another.
func (w *writer) drop() {
	if w.conn == nil {
		return
	}
	// The pool must not hand it out again: ErrBadConn makes it close it.
	_ = w.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = w.conn.Close()
	w.conn, w.insert = nil, nil
}

func (w *writer) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return &writeError{Other, fmt.Errorf("connect: %w", err)}
	}
	insert, err := conn.PrepareContext(ctx, "INSERT INTO "+Table+" (op, part, note) VALUES (?, ?, ?)")
	if err != nil {
		return &writeError{Other, errors.Join(fmt.Errorf("prepare: %w", err), conn.Close())}
	}
	w.conn, w.insert = conn, insert
	return nil
}

// do writes one row, or two in a transaction, and returns how many.
func (w *writer) do(ctx context.Context, op int64, transaction bool) (parts int, err error) {
	defer func() {
		if err != nil {
			w.drop()
		}
	}()
	if err := w.connect(ctx); err != nil {
		return 0, err
	}
	if !transaction {
		if _, err := w.insert.ExecContext(ctx, op, 1, "single"); err != nil {
			return 0, &writeError{kindOf(err), err}
		}
		return 1, nil
	}
	abort := func(err error) (int, error) { return 0, &writeError{Aborted, err} }
	if _, err := w.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return abort(err)
	}
	if _, err := w.insert.ExecContext(ctx, op, 1, "transaction"); err != nil {
		return abort(err)
	}
	var seen int
	if err := w.conn.QueryRowContext(ctx, fmt.Sprintf("SELECT COUNT(*) FROM %s WHERE op = %d", Table, op)).Scan(&seen); err != nil {
		return abort(err)
	}
	if seen != 1 {
		return abort(fmt.Errorf("write %d sees %d of its rows within its transaction, want 1", op, seen))
	}
	if _, err := w.conn.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (op, part, note) VALUES (%d, 2, 'transaction')", Table, op)); err != nil {
		return abort(err)
	}
	if _, err := w.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return 0, &writeError{kindOf(err), err}
	}
	return 2, nil
}

// kindOf tells a refused write from one whose outcome is not known.
func kindOf(err error) Kind {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		switch e.Number {
		case 1180, 1927, 2013: // the proxy or the server says that the outcome, or the transaction, is lost
			return InDoubt
		case 1290, 1836, 1213, 1205:
			return Aborted // refused: nothing was written
		}
		return Other
	}
	return InDoubt // no answer
}
