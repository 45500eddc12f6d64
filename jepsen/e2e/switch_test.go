package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/api"
)

// The shape of sysbench's load: rows enough that two of its transactions hardly
// ever want the same two, for a deadlock is an error of the database.
const (
	benchTables  = 4
	benchRows    = 10000
	benchThreads = 8
	benchSeconds = 5
)

// switchUnderClients moves the primary there and back while sysbench and the
// mariadb command line work and sessions idle. Nobody sees an error, sessions
// keep what they had set, and all servers have the same in the end.
func (s *scene) switchUnderClients(t *testing.T, ctx context.Context) {
	s.benchPrepare(t, ctx)
	idle := s.openSession(t, ctx, s.Proxies[0])
	cli := s.startCLI(t, ctx, s.Proxies[1])
	bench := s.benchStart(t, ctx, s.Proxies[0])
	eventually(t, ctx, 10*time.Second, "the load", func(ctx context.Context) error {
		return s.benchThreadsAt(ctx, s.Servers[0])
	})
	var switches []api.Switch
	for _, to := range []int{1, 0} {
		cli.more(t, 5)
		record := s.switchTo(t, ctx, to)
		switches = append(switches, record)
		idle.verify(t, ctx, s.Servers[to])
		t.Logf("switch to %d: %.0f ms, writes were stopped for %.0f ms", to, record.TotalMS, record.BlackoutMS)
	}
	if !bench.Running() {
		t.Errorf("sysbench ended before the second switch did: this shows nothing")
	}
	cli.more(t, 5)
	cli.end(t)
	s.benchVerdict(t, ctx, bench)
	s.identical(t, ctx)
	s.unmovable(t, ctx)
	s.readable(t, ctx, switches[0])
}

// benchArgs are sysbench's, with server-side prepared statements (its default)
// and no error ignored.
func (s *scene) benchArgs(t *testing.T, p *fleet.Proxy, command string) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(p.MySQL())
	if err != nil {
		t.Fatal(err)
	}
	return []string{"oltp_read_write", "--db-driver=mysql", "--mysql-host=" + host, "--mysql-port=" + port,
		"--mysql-user=" + stage.AppUser, "--mysql-password=" + s.Password(), "--mysql-db=" + stage.Database,
		"--mysql-ignore-errors=0", "--rand-type=uniform",
		fmt.Sprintf("--tables=%d", benchTables), fmt.Sprintf("--table-size=%d", benchRows),
		fmt.Sprintf("--threads=%d", benchThreads), fmt.Sprintf("--time=%d", benchSeconds), command}
}

func (s *scene) benchPrepare(t *testing.T, ctx context.Context) {
	t.Helper()
	result, err := s.Fleet.Run(ctx, "sysbench", s.benchArgs(t, s.Proxies[0], "prepare")...)
	if err != nil || result.Code != 0 {
		t.Fatalf("sysbench prepare: exit %d, %v\n%s%s", result.Code, err, result.Stdout, result.Stderr)
	}
}

func (s *scene) benchStart(t *testing.T, ctx context.Context, p *fleet.Proxy) *fleet.Proc {
	t.Helper()
	bench, err := s.Fleet.NewProc(fleet.ProcConfig{Name: "sysbench", Path: "sysbench", Args: s.benchArgs(t, p, "run")})
	if err != nil {
		t.Fatal(err)
	}
	if err := bench.Start(ctx); err != nil {
		t.Fatal(err)
	}
	bench.ExpectEnd()
	return bench
}

var (
	ignoredErrors = regexp.MustCompile(`ignored errors:\s+(\d+)`)
	reconnects    = regexp.MustCompile(`reconnects:\s+(\d+)`)
	transactions  = regexp.MustCompile(`transactions:\s+(\d+)`)
	maxLatency    = regexp.MustCompile(`max:\s+([0-9.]+)`)
)

// benchThreadsAt: all of sysbench's sessions have arrived, and those of the
// others.
func (s *scene) benchThreadsAt(ctx context.Context, server *fleet.Maria) error {
	text, err := server.Value(ctx, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = ?", stage.AppUser)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(text); err != nil || n <= benchThreads {
		return fmt.Errorf("%q sessions on %s", text, server.Name())
	}
	return nil
}

// benchVerdict: sysbench ended well, without an error that it passed over.
func (s *scene) benchVerdict(t *testing.T, ctx context.Context, bench *fleet.Proc) {
	t.Helper()
	status, err := bench.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	output, err := os.ReadFile(bench.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	number := func(pattern *regexp.Regexp) string {
		if m := pattern.FindSubmatch(output); m != nil {
			return string(m[1])
		}
		return "none"
	}
	t.Logf("sysbench: %s transactions, the longest %s ms", number(transactions), number(maxLatency))
	if status.Code != 0 || number(ignoredErrors) != "0" || number(reconnects) != "0" || number(transactions) == "0" {
		t.Errorf("sysbench: %s, %s ignored errors, %s reconnects:\n%s", status, number(ignoredErrors), number(reconnects), output)
	}
}

// identical: every table has the same checksum on every server.
func (s *scene) identical(t *testing.T, ctx context.Context) {
	t.Helper()
	if err := s.CaughtUp(ctx, s.group(t, ctx).Writable); err != nil {
		t.Fatal(err)
	}
	tables, err := s.Servers[0].Rows(ctx, "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ?", stage.Database)
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) < benchTables {
		t.Fatalf("%d tables in %s", len(tables), stage.Database)
	}
	for _, table := range tables {
		var sums []string
		for _, server := range s.Servers {
			row, err := server.Row(ctx, "CHECKSUM TABLE "+stage.Database+"."+table["name"])
			if err != nil {
				t.Fatal(err)
			}
			sums = append(sums, row["Checksum"])
		}
		if len(slices.Compact(slices.Clone(sums))) != 1 || sums[0] == "" {
			t.Errorf("table %s differs: checksums %v", table["name"], sums)
		}
	}
}

// readable: the record of a switch says everything that somebody who was asleep
// wants to know, and the other commands know the switch too.
func (s *scene) readable(t *testing.T, ctx context.Context, record api.Switch) {
	t.Helper()
	text := s.ctl(t, ctx, exitOK, "switch", "show", record.ID).Stdout
	has(t, "switch show", text, "Done: the primary of "+stage.Group+" moved from", record.From, record.To, "end-to-end test",
		"STEPS", "preflight", "stopping", "fencing", "catching-up", "promoting", "switching", "recovering", "repointing",
		"RULES (", "every proxy is up", "skipped: operator", "WHERE THE OLD PRIMARY STOPPED", "gtid_binlog_pos")
	for line := range strings.Lines(text) {
		if strings.Contains(line, "FAILED") || strings.Contains(line, "%!") {
			t.Errorf("switch show: %s", line)
		}
	}
	shown, err := s.record(ctx, record.ID)
	if err != nil {
		t.Fatal(err)
	}
	if shown.State != "done" || shown.Open || shown.Code != api.OK || len(shown.Steps) < 10 || len(shown.Checks) == 0 || shown.Position == nil {
		t.Errorf("switch show -o json: %+v", shown)
	}
	for i, step := range shown.Steps[1:] {
		if step.Time.Before(shown.Steps[i].Time) {
			t.Errorf("step %s is before %s", step.State, shown.Steps[i].State)
		}
	}
	has(t, "switch list", s.ctl(t, ctx, exitOK, "switch", "list", "--group", stage.Group).Stdout, record.ID, "0 → 1", "1 → 0", "done")
}
