package fleet

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/hashicorp/go-hclog"
)

// sqlTimeout bounds a statement whose context has no deadline.
const sqlTimeout = 30 * time.Second

// openSocket prepares root's pool; it does not connect. The driver's own complaints about lost connections are dropped:
// servers are killed here on purpose, and callers get the error.
func openSocket(socket string) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr = "root", "unix", socket
	cfg.Timeout = probeTimeout
	cfg.InterpolateParams, cfg.MultiStatements = true, true
	cfg.Logger = hclog.NewNullLogger().StandardLogger(nil)
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("root's connections to %s: %w", socket, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(1)
	return db, nil
}

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, sqlTimeout)
}

// Exec runs statements as root, in order, on a connection of their own, so that session variables set by one hold for the
// next and for nobody else. Each may be several statements with semicolons between. The first error ends it.
func (m *Maria) Exec(ctx context.Context, statements ...string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	conn, err := m.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name(), err)
	}
	defer func() { _ = conn.Raw(func(any) error { return driver.ErrBadConn }) }() // closes it: no other may inherit its session
	for _, s := range statements {
		if _, err = conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %s: %w", m.Name(), s, err)
		}
	}
	return nil
}

// Value runs a query as root and returns the first column of the first row as text ("" for NULL). No row is sql.ErrNoRows.
func (m *Maria) Value(ctx context.Context, query string, args ...any) (string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var v sql.NullString
	if err := m.db.QueryRowContext(ctx, query, args...).Scan(&v); err != nil {
		return "", fmt.Errorf("%s: %s: %w", m.Name(), query, err)
	}
	return v.String, nil
}

// Row runs a query as root and returns its first row by column name, NULL as "". It suits SHOW SLAVE STATUS and its like.
// No row is sql.ErrNoRows.
func (m *Maria) Row(ctx context.Context, query string, args ...any) (map[string]string, error) {
	rows, err := m.Rows(ctx, query, args...)
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%s: %s: %w", m.Name(), query, sql.ErrNoRows)
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// Rows runs a query as root and returns all rows by column name, NULL as "".
func (m *Maria) Rows(ctx context.Context, query string, args ...any) ([]map[string]string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := m.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", m.Name(), query, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", m.Name(), query, err)
	}
	var all []map[string]string
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		targets := make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", m.Name(), query, err)
		}
		row := make(map[string]string, len(names))
		for i, name := range names {
			row[name] = values[i].String
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", m.Name(), query, err)
	}
	return all, nil
}
