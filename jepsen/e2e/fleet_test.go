package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/api"
)

// settled bounds how long the fleet may take to be healthy again.
const settled = 20 * time.Second

// TestFleet plays on one whole stage: three keepers, two proxies, a primary with
// two replicas, an agent each. What disturbs nothing comes first, and then the
// logs must be quiet; what is refused, and what is stopped, comes after.
func TestFleet(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	s := newScene(t, ctx, stage.Config{})
	s.play(t, ctx, []act{
		{"endpoints", s.endpoints},
		{"agents", s.agents},
		{"import", s.importGroup},
		{"tools", s.tools},
		{"switch under clients", s.switchUnderClients},
		{"quiet logs", s.quietLogs},
		{"directories taken", s.directoriesTaken},
		{"bad configurations", s.badConfigs},
		{"configurations", s.configs},
		{"a proxy that refuses", s.configRefused},
		{"switches refused", s.switchesRefused},
		{"voted down", s.votedDown},
		{"a transaction that does not end", s.drainTimeout},
		{"abort", s.abort},
		{"proxies leave and come back", s.proxiesLeave},
		{"proxy stops", s.proxyStops},
		{"proxy killed", s.proxyKilled},
		{"stop", s.stopAll},
	})
}

// scene is a stage with the wishes of tests.
type scene struct{ *stage.Stage }

func newScene(t *testing.T, ctx context.Context, cfg stage.Config) *scene {
	t.Helper()
	s, err := stage.Set(ctx, newFleet(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &scene{s}
}

// act is one part of a play.
type act struct {
	name string
	run  func(*testing.T, context.Context)
}

// play runs the acts in order. Each begins with a healthy fleet, and the first
// that fails is the last.
func (s *scene) play(t *testing.T, ctx context.Context, acts []act) {
	t.Helper()
	for _, a := range acts {
		ok := t.Run(a.name, func(t *testing.T) {
			a.run(t, ctx)
			if a.name != "stop" {
				s.healthy(t, ctx)
			}
		})
		if !ok {
			return
		}
	}
}

// healthy waits until `zeroctl status` finds nothing to complain of.
func (s *scene) healthy(t *testing.T, ctx context.Context) {
	t.Helper()
	eventually(t, ctx, settled, "zeroctl status", func(ctx context.Context) error { return s.Zeroctl(ctx, nil, "status") })
}

// ctl runs zeroctl, which must end with that code.
func (s *scene) ctl(t *testing.T, ctx context.Context, want int, args ...string) fleet.Result {
	t.Helper()
	return zeroctl(t, ctx, s.Fleet, want, args...)
}

// group is what the keepers know of the host group.
func (s *scene) group(t *testing.T, ctx context.Context) api.Group {
	t.Helper()
	var list api.GroupListAnswer
	zeroctlJSON(t, ctx, s.Fleet, exitOK, &list, "group", "show", stage.Group)
	if len(list.Groups) != 1 {
		t.Fatalf("group show %s: %d groups", stage.Group, len(list.Groups))
	}
	return list.Groups[0]
}

// primary is the server that is writable now.
func (s *scene) primary(t *testing.T, ctx context.Context) *fleet.Maria {
	t.Helper()
	return s.Servers[s.group(t, ctx).Writable]
}

// startArgs are zeroctl's to start a switch.
func startArgs(to int, more ...string) []string {
	return append([]string{"switch", "start", "--group", stage.Group, "--to", strconv.Itoa(to), "--reason", "end-to-end test"}, more...)
}

// switchTo moves the primary and returns the switch's record. It waits out the
// cooldown of the switch before.
func (s *scene) switchTo(t *testing.T, ctx context.Context, to int) api.Switch {
	t.Helper()
	for {
		result := run(t, ctx, s.Fleet, "zeroctl", append([]string{"--keepers", s.Fleet.KeeperAddrs(), "-o", "json"}, startArgs(to)...)...)
		var answer struct {
			Switch api.Switch `json:"switch"`
			failure
		}
		if err := json.Unmarshal([]byte(result.Stdout), &answer); err != nil {
			t.Fatalf("switch to %d: %v in %q (%s)", to, err, result.Stdout, result.Stderr)
		}
		switch {
		case result.Code == exitOK && answer.Switch.State == "done":
			return answer.Switch
		case answer.Error.Code == int(api.NotRecorded): // it follows the primary since a moment ago only
		case answer.Error.Code != int(api.TooFrequent):
			t.Fatalf("switch to %d: exit %d: %s%s", to, result.Code, result.Stdout, result.Stderr)
		}
		time.Sleep(50 * time.Millisecond) // cooldown and record have no other sign
	}
}

// started asks for a switch, after the cooldown of the one before, and returns its
// id when it is accepted.
func (s *scene) started(t *testing.T, ctx context.Context, to int) string {
	t.Helper()
	var started api.SwitchStarted
	eventually(t, ctx, settled, "a switch", func(ctx context.Context) error {
		return ask(ctx, s.Fleet, &started, startArgs(to, "--no-wait")...)
	})
	return started.ID
}

// record is what the keepers know of a switch.
func (s *scene) record(ctx context.Context, id string) (api.Switch, error) {
	var answer struct {
		Switch api.Switch `json:"switch"`
	}
	err := ask(ctx, s.Fleet, &answer, "switch", "show", id)
	return answer.Switch, err
}

// reaches waits until a switch is as cond wants it.
func (s *scene) reaches(t *testing.T, ctx context.Context, d time.Duration, id string, cond func(api.Switch) bool) api.Switch {
	t.Helper()
	var record api.Switch
	eventually(t, ctx, d, "switch "+id, func(ctx context.Context) (err error) {
		if record, err = s.record(ctx, id); err == nil && !cond(record) {
			err = fmt.Errorf("it is in %s", record.State)
		}
		return err
	})
	return record
}

// over is the condition of a switch that has ended.
func over(s api.Switch) bool { return !s.Open }

// client opens a connection of the application through a proxy.
func (s *scene) client(t *testing.T, ctx context.Context, p *fleet.Proxy) *sql.Conn {
	t.Helper()
	db, err := s.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatalf("connect through %s: %v", p.Name(), err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// direct opens the application's way to a server, past the proxies.
func (s *scene) direct(server *fleet.Maria) (*sql.DB, error) {
	cfg, err := mysql.ParseDSN(s.DSN(s.Proxies[0]))
	if err != nil {
		return nil, err
	}
	cfg.Addr = server.Addr()
	return sql.Open("mysql", cfg.FormatDSN())
}

// do runs statements that must succeed.
func do(t *testing.T, ctx context.Context, conn *sql.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// value is the first column of the first row, as text.
func value(t *testing.T, ctx context.Context, conn *sql.Conn, query string) string {
	t.Helper()
	var v sql.NullString
	if err := conn.QueryRowContext(ctx, query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v.String
}

// notes makes the table that small writes go to.
func (s *scene) notes(t *testing.T, ctx context.Context) {
	t.Helper()
	err := s.primary(t, ctx).Exec(ctx, "CREATE TABLE IF NOT EXISTS "+stage.Database+".notes (id BIGINT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(64) NOT NULL)")
	if err != nil {
		t.Fatal(err)
	}
}

// noted counts the rows with a note on every server, directly.
func (s *scene) noted(t *testing.T, ctx context.Context, note string, want int) {
	t.Helper()
	if err := s.CaughtUp(ctx, s.group(t, ctx).Writable); err != nil {
		t.Fatal(err)
	}
	for _, server := range s.Servers {
		got, err := server.Value(ctx, "SELECT COUNT(*) FROM "+stage.Database+".notes WHERE note = ?", note)
		if err != nil {
			t.Fatal(err)
		}
		if got != strconv.Itoa(want) {
			t.Errorf("%s has %s rows %q, want %d", server.Name(), got, note, want)
		}
	}
}

// insert is the statement that stores a note.
func insert(note string) string {
	return "INSERT INTO notes (note) VALUES ('" + strings.ReplaceAll(note, "'", "''") + "')"
}

// giveSecret puts the application's password into a proxy's own directory.
func (s *scene) giveSecret(p *fleet.Proxy, name string) error {
	return os.WriteFile(filepath.Join(p.Dir(), name), []byte(s.Password()), 0o600)
}

// stopAll: SIGTERM ends every daemon soon and well.
func (s *scene) stopAll(t *testing.T, ctx context.Context) {
	var daemons []*fleet.Proc
	for _, p := range s.Proxies {
		daemons = append(daemons, p.Proc)
	}
	for _, a := range s.Agents {
		daemons = append(daemons, a.Proc)
	}
	for _, k := range s.Keepers {
		daemons = append(daemons, k.Proc)
	}
	for _, d := range daemons {
		begin := time.Now()
		if err := d.Stop(ctx); err != nil {
			t.Error(err)
			continue
		}
		if status, err := d.Wait(ctx); err != nil || status.Code != 0 {
			t.Errorf("%s ended with %v, %v, want exit 0", d.Name(), status, err)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%s took %v to stop", d.Name(), took.Round(time.Millisecond))
		}
	}
}
