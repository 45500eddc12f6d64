package mysql

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

func TestQueryResults(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	for _, mode := range []string{"text", "binary"} {
		t.Run(mode, func(t *testing.T) {
			c := p.conn(t, func(cfg *driver.Config) { cfg.InterpolateParams = mode == "text" })
			mustExec(t, c, "DROP TABLE IF EXISTS types")
			mustExec(t, c, `CREATE TABLE types (id INT AUTO_INCREMENT PRIMARY KEY, i BIGINT, u BIGINT UNSIGNED, d DOUBLE, n DECIMAL(20,5),
				s VARCHAR(100), b LONGBLOB, t DATETIME(6), y YEAR, j JSON, z TIME(3))`)
			blob := bytes.Repeat([]byte{0, 1, 0xfe, 0xff, '\'', '\\'}, 1000)
			when := time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)
			res := mustExec(t, c, "INSERT INTO types (i,u,d,n,s,b,t,y,j,z) VALUES (?,?,?,?,?,?,?,?,?,?)",
				-1<<63, uint64(1<<64-1), 1.5e300, "123456789012345.12345", "grün 🌱", blob, when, 2024, `{"a":1}`, "-12:34:56.789")
			if id, err := res.LastInsertId(); err != nil || id != 1 {
				t.Errorf("insert id %d, %v", id, err)
			}
			mustExec(t, c, "INSERT INTO types (i) VALUES (?)", nil)
			want := "-9223372036854775808|18446744073709551615|1.5e300|123456789012345.12345|grün 🌱|2024-02-29 23:59:59.123456|2024|{\"a\":1}|-12:34:56.789"
			got := one(t, c, "SELECT i,u,d,n,s,t,y,j,z FROM types WHERE id=?", 1)
			if norm := strings.ReplaceAll(got, "1.5e+300", "1.5e300"); norm != want {
				t.Errorf("got  %s\nwant %s", norm, want)
			}
			var back []byte
			if err := c.QueryRowContext(t.Context(), "SELECT b FROM types WHERE id=?", 1).Scan(&back); err != nil || !bytes.Equal(back, blob) {
				t.Errorf("blob of %d bytes came back as %d, %v", len(blob), len(back), err)
			}
			if got := one(t, c, "SELECT i,u,d,n,s,b,t,y,j,z FROM types WHERE id=?", 2); got != strings.Repeat("NULL|", 9)+"NULL" {
				t.Errorf("row of NULLs: %s", got)
			}
			if got := one(t, c, "SELECT COUNT(*) FROM types WHERE i > ?", 5); got != "0" {
				t.Errorf("count %s", got)
			}
		})
	}
}

func TestManyRows(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t)
	rows, err := c.QueryContext(t.Context(), "SELECT seq, REPEAT('x', seq % 300) FROM seq_1_to_30000")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var seq int
		var s string
		if err := rows.Scan(&seq, &s); err != nil {
			t.Fatal(err)
		}
		if n++; seq != n || len(s) != n%300 {
			t.Fatalf("row %d is %d with %d bytes", n, seq, len(s))
		}
	}
	if rows.Err() != nil || n != 30000 {
		t.Fatalf("%d rows, %v", n, rows.Err())
	}
}

// TestHugePackets sends and reads values that need continued packets, at the lengths where continuation begins.
func TestHugePackets(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t, func(cfg *driver.Config) { cfg.MaxAllowedPacket = 120 << 20 })
	mustExec(t, c, "DROP TABLE IF EXISTS huge")
	mustExec(t, c, "CREATE TABLE huge (id INT PRIMARY KEY, b LONGBLOB)")
	pattern := make([]byte, 17<<20)
	for i := range pattern {
		pattern[i] = byte(i ^ i>>8 ^ i>>16)
	}
	for i, n := range []int{1 << 20, maxPayload - 19, 17 << 20} {
		value := pattern[:n]
		mustExec(t, c, "INSERT INTO huge VALUES (?, ?)", i, value)
		var back []byte
		if err := c.QueryRowContext(t.Context(), "SELECT b FROM huge WHERE id=?", i).Scan(&back); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if sha256.Sum256(back) != sha256.Sum256(value) {
			t.Fatalf("%d bytes came back as %d others", n, len(back))
		}
	}
	// Rows whose packet ends exactly at the limit: 1 byte for the length prefix's head, 8 for the length.
	for _, n := range []int{maxPayload - 9, maxPayload - 8} {
		if got := one(t, c, "SELECT LENGTH(x), MD5(x) = MD5(REPEAT('a', ?)) FROM (SELECT REPEAT('a', ?) AS x) AS q", n, n); got != fmt.Sprintf("%d|1", n) {
			t.Fatalf("%s", got)
		}
		var s string
		if err := c.QueryRowContext(t.Context(), fmt.Sprintf("SELECT REPEAT('a', %d)", n)).Scan(&s); err != nil || len(s) != n {
			t.Fatalf("row of %d bytes: %d, %v", n, len(s), err)
		}
	}
	if got := one(t, c, "SELECT 'still in step'"); got != "still in step" {
		t.Fatal(got)
	}
}

func TestTooBigForTheServer(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t, func(cfg *driver.Config) { cfg.MaxAllowedPacket = 200 << 20 })
	_, err := c.ExecContext(t.Context(), "DO LENGTH(?)", make([]byte, 36<<20))
	if err == nil {
		t.Fatal("a packet above max_allowed_packet was accepted")
	}
	if got := one(t, p.conn(t), "SELECT 1"); got != "1" {
		t.Fatal(got)
	}
}

func TestMultipleResults(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t, func(cfg *driver.Config) { cfg.MultiStatements = true })
	mustExec(t, c, "DROP PROCEDURE IF EXISTS twice")
	mustExec(t, c, "CREATE PROCEDURE twice() BEGIN SELECT 1; SELECT 2, 3; DO 0; SELECT 'x' FROM seq_1_to_3; END")
	for _, query := range []string{"CALL twice()", "SELECT 1; SELECT 2, 3; SELECT 'x' FROM seq_1_to_3"} {
		rows, err := c.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		var counts []int
		for {
			cols, err := rows.Columns()
			n := 0
			for rows.Next() {
				n++
			}
			if err == nil && len(cols) > 0 {
				counts = append(counts, n*10+len(cols))
			}
			if !rows.NextResultSet() {
				break
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(counts); got != "[11 12 31]" {
			t.Errorf("%s: rows and columns %s", query, got)
		}
		rows.Close()
	}
	// An error in the middle ends the answer.
	rows, err := c.QueryContext(t.Context(), "SELECT 1; SELECT nonsense; SELECT 2")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	if rows.NextResultSet() {
		t.Error("the statement after the failed one has a result")
	}
	wantError(t, rows.Err(), 1054, "nonsense")
	rows.Close()
	if got := one(t, c, "SELECT 7"); got != "7" {
		t.Errorf("after it: %s", got)
	}
}

func TestTransactions(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	db := p.db(t)
	mustExec(t, db, "DROP TABLE IF EXISTS trx")
	mustExec(t, db, "CREATE TABLE trx (id INT PRIMARY KEY)")
	for i, commit := range []bool{true, false} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, tx, "INSERT INTO trx VALUES (?)", i)
		if n := p.gate.InFlight(); n != 1 {
			t.Errorf("%d in flight inside a transaction, want 1", n)
		}
		if got := one(t, tx, "SELECT COUNT(*) FROM trx WHERE id=?", i); got != "1" {
			t.Errorf("own insert is not seen: %s", got)
		}
		if commit {
			err = tx.Commit()
		} else {
			err = tx.Rollback()
		}
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "ticket released at the end of the transaction", func() bool { return p.gate.InFlight() == 0 })
	}
	if got := one(t, db, "SELECT GROUP_CONCAT(id) FROM trx"); got != "0" {
		t.Errorf("rows %s, want only the committed one", got)
	}
}

// TestTicketFollowsTheTransaction checks, statement by statement, that exactly what the server takes for an open
// transaction is in flight.
func TestTicketFollowsTheTransaction(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t, func(cfg *driver.Config) { cfg.MultiStatements = true })
	mustExec(t, c, "DROP TABLE IF EXISTS tick")
	mustExec(t, c, "CREATE TABLE tick (id INT PRIMARY KEY)")
	mustExec(t, c, "DROP PROCEDURE IF EXISTS leaves_open; CREATE PROCEDURE leaves_open() BEGIN START TRANSACTION; INSERT INTO tick VALUES (100); SIGNAL SQLSTATE '45000'; END")
	tests := []struct {
		query string
		fails bool
		want  int
	}{
		{"SELECT * FROM tick", false, 0},
		{"INSERT INTO tick VALUES (1)", false, 0},
		{"INSERT INTO tick VALUES (1)", true, 0},
		{"BEGIN", false, 1},
		{"INSERT INTO tick VALUES (1)", true, 1},
		{"SELECT 1", false, 1},
		{"COMMIT", false, 0},
		{"SET autocommit=0", false, 0},
		{"SELECT 1", false, 0},
		{"SELECT * FROM tick", false, 1},
		{"ROLLBACK", false, 0},
		{"INSERT INTO tick VALUES (1)", true, 1},
		{"SET autocommit=1", false, 0},
		{"BEGIN; INSERT INTO tick VALUES (1)", true, 1},
		{"ROLLBACK AND CHAIN", false, 1},
		{"CREATE TABLE IF NOT EXISTS tick2 (a INT)", false, 0}, // implicit commit
		{"LOCK TABLES tick WRITE", false, 1},
		{"SELECT * FROM tick", false, 1},
		{"UNLOCK TABLES", false, 0},
		{"LOCK TABLES tick WRITE", false, 1},
		{"BEGIN", false, 1},
		{"COMMIT", false, 0},
		{"FLUSH TABLES WITH READ LOCK", false, 1},
		{"UNLOCK TABLES", false, 0},
		{"CALL leaves_open()", true, 1},
		{"ROLLBACK", false, 0},
		{"XA START 'x'", false, 1},
		{"INSERT INTO tick VALUES (5)", false, 1},
		{"XA END 'x'", false, 1},
		{"XA PREPARE 'x'", false, 1},
		{"XA COMMIT 'x'", false, 0},
		{"SELECT * FROM tick FOR UPDATE", false, 0},
		{"nonsense", true, 0},
	}
	for i, tt := range tests {
		_, err := c.ExecContext(t.Context(), tt.query)
		if (err != nil) != tt.fails {
			t.Fatalf("%d %s: %v, want failure %v", i, tt.query, err, tt.fails)
		}
		eventually(t, fmt.Sprintf("%d in flight after %d %s", tt.want, i, tt.query), func() bool { return p.gate.InFlight() == tt.want })
	}
}

func TestErrorsAreVerbatim(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t)
	for _, query := range []string{"SELEKT 1", "SELECT * FROM no_such_table", "SELECT no_such_function(1)",
		"SIGNAL SQLSTATE '45123' SET MESSAGE_TEXT = 'my message', MYSQL_ERRNO = 4711", "USE no_such_db", "KILL 4000000"} {
		_, direct := a.root.Exec(query)
		_, got := c.ExecContext(t.Context(), query)
		if query == "SELECT * FROM no_such_table" || strings.Contains(query, "function") { // root has no database
			_, direct = a.root.Exec("USE shop; " + query)
		}
		if got == nil || direct == nil || got.Error() != direct.Error() {
			t.Errorf("%s:\n proxy %v\nserver %v", query, got, direct)
		}
	}
	mustExec(t, c, "SELECT 1")
}

func TestWarningsAndPings(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t)
	mustExec(t, c, "SET sql_mode=''")
	mustExec(t, c, "SET @x = CAST('1x' AS INT) + 1") // a warning, and a value that is read back from the server
	if got := one(t, c, "SHOW WARNINGS"); !strings.Contains(got, "Truncated incorrect INTEGER") {
		t.Errorf("warnings were lost: %s", got)
	}
	mustExec(t, c, "BEGIN")
	_, err := c.ExecContext(t.Context(), "INSERT INTO no_such_table VALUES (1)") // an error, and a ping after it
	wantError(t, err, 1146, "no_such_table")
	if got := one(t, c, "SHOW ERRORS"); !strings.Contains(got, "no_such_table") {
		t.Errorf("errors were lost: %s", got)
	}
	mustExec(t, c, "ROLLBACK")
	if err := c.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLoadDataLocal(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t)
	mustExec(t, c, "DROP TABLE IF EXISTS loaded")
	mustExec(t, c, "CREATE TABLE loaded (id INT PRIMARY KEY, s TEXT)")
	var file strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&file, "%d\t%s\n", i, strings.Repeat("z", i%100))
	}
	driver.RegisterReaderHandler("rows", func() io.Reader { return strings.NewReader(file.String()) })
	defer driver.DeregisterReaderHandler("rows")
	res := mustExec(t, c, "LOAD DATA LOCAL INFILE 'Reader::rows' INTO TABLE loaded")
	if n, err := res.RowsAffected(); err != nil || n != 50_000 {
		t.Errorf("%d rows loaded, %v", n, err)
	}
	if got := one(t, c, "SELECT COUNT(*), SUM(LENGTH(s)) FROM loaded"); got != "50000|2475000" {
		t.Errorf("loaded %s", got)
	}
	// The server finds fault with the data only after it has taken all of it.
	_, err := c.ExecContext(t.Context(), "LOAD DATA LOCAL INFILE 'Reader::rows' INTO TABLE no_such_table")
	wantError(t, err, 1146, "no_such_table")
	if _, err := c.ExecContext(t.Context(), "LOAD DATA LOCAL INFILE 'Reader::none' INTO TABLE loaded"); err == nil {
		t.Error("loading from an unknown reader succeeded")
	}
	if got := one(t, c, "SELECT COUNT(*) FROM loaded"); got != "50000" {
		t.Errorf("after it: %s", got)
	}
}

func TestDatabaseIsFollowed(t *testing.T) {
	a, b := servers(t)
	for _, s := range []*mariadb{a, b} {
		s.exec(t, "SET sql_log_bin=0; CREATE DATABASE IF NOT EXISTS other; SET sql_log_bin=1")
	}
	p := newProxy(t, a.addr)
	c := p.conn(t)
	mustExec(t, c, "USE other")
	p.moveTo(t, b.addr)
	if got := one(t, c, "SELECT DATABASE(), @@port"); got != "other|"+port(b) {
		t.Errorf("after the move: %s", got)
	}
	mustExec(t, c, "/*!40000 USE `shop` */")
	p.moveTo(t, a.addr)
	if got := one(t, c, "SELECT DATABASE(), @@port"); got != "shop|"+port(a) {
		t.Errorf("after the second move: %s", got)
	}
}

func port(s *mariadb) string { return s.addr[strings.LastIndexByte(s.addr, ':')+1:] }
