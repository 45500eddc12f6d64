package e2e

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/stage"
)

// mark is what the sessions of these tests keep in a user variable.
const mark = "kept across the switch"

// session is a connection of a driver that has set all kinds of things.
type session struct {
	conn   *sql.Conn
	add    *sql.Stmt // prepared on the server
	insert *sql.Stmt
	server string // @@server_id when it was last looked at
	notes  int
}

// openSession connects with one database and goes to another, sets a variable,
// the character set and the SQL mode, and prepares statements.
func (s *scene) openSession(t *testing.T, ctx context.Context, p *fleet.Proxy) *session {
	t.Helper()
	s.notes(t, ctx)
	cfg, err := mysql.ParseDSN(s.DSN(p))
	if err != nil {
		t.Fatal(err)
	}
	cfg.DBName = "information_schema"
	db, err := sql.Open("mysql", cfg.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	do(t, ctx, conn, "SET @mark = '"+mark+"', @x = 42", "SET NAMES latin1", "SET SESSION sql_mode = 'ANSI_QUOTES'", "USE "+stage.Database)
	one := &session{conn: conn, server: value(t, ctx, conn, "SELECT @@server_id")}
	if one.add, err = conn.PrepareContext(ctx, "SELECT ? + @x"); err != nil {
		t.Fatal(err)
	}
	if one.insert, err = conn.PrepareContext(ctx, "INSERT INTO notes (note) VALUES (?)"); err != nil {
		t.Fatal(err)
	}
	return one
}

// verify: the session is on another server now, and is as it was.
func (one *session) verify(t *testing.T, ctx context.Context, server *fleet.Maria) {
	t.Helper()
	before := one.server
	one.server = value(t, ctx, one.conn, "SELECT @@server_id")
	if one.server != fmt.Sprint(server.ServerID()) || one.server == before {
		t.Errorf("the session was on server %s and is on %s, want %d", before, one.server, server.ServerID())
	}
	state := value(t, ctx, one.conn, "SELECT CONCAT_WS('|', @mark, @x, DATABASE(), @@character_set_client, @@collation_connection, @@sql_mode)")
	if want := mark + "|42|" + stage.Database + "|latin1|latin1_swedish_ci|ANSI_QUOTES"; state != want {
		t.Errorf("the session has %q, want %q", state, want)
	}
	var sum int
	if err := one.add.QueryRowContext(ctx, 8).Scan(&sum); err != nil || sum != 50 {
		t.Errorf("the prepared SELECT: %d, %v, want 50", sum, err)
	}
	result, err := one.insert.ExecContext(ctx, "prepared before the switch")
	if err != nil {
		t.Fatalf("the prepared INSERT: %v", err)
	}
	one.notes++
	id, err := result.LastInsertId()
	if last := value(t, ctx, one.conn, "SELECT LAST_INSERT_ID()"); err != nil || last != fmt.Sprint(id) {
		t.Errorf("LAST_INSERT_ID() is %s, the INSERT said %d, %v", last, id, err)
	}
}

// unmovable: a session with what cannot be carried to another server is told so,
// and a new one works.
func (s *scene) unmovable(t *testing.T, ctx context.Context) {
	t.Helper()
	conn := s.client(t, ctx, s.Proxies[0])
	do(t, ctx, conn, "CREATE TEMPORARY TABLE only_here (n INT)", "INSERT INTO only_here VALUES (1)")
	s.switchTo(t, ctx, 1)
	_, err := conn.ExecContext(ctx, "INSERT INTO only_here VALUES (2)")
	if e, ok := errors.AsType[*mysql.MySQLError](err); !ok || e.Number != 1927 || !strings.Contains(e.Message, "cannot be moved") {
		t.Errorf("a session with a temporary table after the switch: %v, want 1927 with the reason", err)
	}
	if got := value(t, ctx, s.client(t, ctx, s.Proxies[0]), "SELECT 1"); got != "1" {
		t.Errorf("a new session: SELECT 1 is %s", got)
	}
	s.switchTo(t, ctx, 0)
}

// cli is one session of the mariadb command line, which ends at the first error.
type cli struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	errs  strings.Builder
	done  int           // transactions acknowledged
	worst time.Duration // the longest of them
	stop  chan struct{}
	moved chan int // done, whenever it grew
	ended chan error
}

// startCLI starts the command line and lets it run transactions until end. It
// dies when its standard input ends, with this process too.
func (s *scene) startCLI(t *testing.T, ctx context.Context, p *fleet.Proxy) *cli {
	t.Helper()
	if err := s.primary(t, ctx).Exec(ctx, "CREATE TABLE "+stage.Database+".cli (n BIGINT PRIMARY KEY, mark VARCHAR(64) NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(p.MySQL())
	if err != nil {
		t.Fatal(err)
	}
	c := &cli{stop: make(chan struct{}), moved: make(chan int, 1), ended: make(chan error, 1)}
	c.cmd = exec.CommandContext(ctx, "mariadb", "--no-defaults", "--host="+host, "--port="+port, "--user="+stage.AppUser,
		"--skip-reconnect", "--batch", "--skip-column-names", "--unbuffered", stage.Database)
	c.cmd.Env = append(os.Environ(), "MYSQL_PWD="+s.Password())
	c.cmd.Stderr = &c.errs
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(stdout)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.ended <- c.loop() }()
	return c
}

// loop runs transactions until stop.
func (c *cli) loop() error {
	err := c.transactions()
	return errors.Join(err, c.in.Close(), c.cmd.Wait())
}

func (c *cli) transactions() error {
	if _, err := io.WriteString(c.in, "SET @mark = '"+mark+"';\n"); err != nil {
		return err
	}
	for n := 1; ; n++ {
		select {
		case <-c.stop:
			return nil
		default:
		}
		begin := time.Now()
		_, err := fmt.Fprintf(c.in, "BEGIN;\nINSERT INTO cli VALUES (%d, @mark);\nSELECT COUNT(*) FROM cli WHERE n = %d;\nCOMMIT;\nSELECT CONCAT('done %d ', @mark);\n", n, n, n)
		if err != nil {
			return err
		}
		for _, want := range []string{"1", fmt.Sprintf("done %d %s", n, mark)} {
			if !c.out.Scan() {
				return fmt.Errorf("transaction %d: the command line ended: %w", n, errors.Join(c.out.Err(), io.ErrUnexpectedEOF))
			}
			if c.out.Text() != want {
				return fmt.Errorf("transaction %d: it says %q, want %q", n, c.out.Text(), want)
			}
		}
		c.done, c.worst = n, max(c.worst, time.Since(begin))
		select {
		case c.moved <- n:
		default: // nobody waits
		}
	}
}

// more waits until n more transactions were acknowledged.
func (c *cli) more(t *testing.T, n int) {
	t.Helper()
	limit := time.After(settled)
	for range n + 1 { // one may be from before
		select {
		case <-c.moved:
		case err := <-c.ended:
			t.Fatalf("the mariadb command line: %v\n%s", err, c.errs.String())
		case <-limit:
			t.Fatal("the mariadb command line does not get on")
		}
	}
}

// end lets the last transaction end.
func (c *cli) end(t *testing.T) {
	t.Helper()
	close(c.stop)
	select {
	case err := <-c.ended:
		if err != nil {
			t.Errorf("the mariadb command line: %v\n%s", err, c.errs.String())
		}
		t.Logf("mariadb command line: %d transactions, the longest %v", c.done, c.worst.Round(time.Millisecond))
	case <-time.After(settled):
		t.Error("the mariadb command line does not end")
	}
}
