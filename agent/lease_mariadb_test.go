package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// writers insert rows until they fail, and count what was acknowledged.
type writers struct {
	mu    sync.Mutex
	acked map[int]bool
	last  atomic.Int64 // lease.Instant of the newest acknowledgement
	all   sync.WaitGroup
}

// write starts 8 writers, who stop at the first error.
func (n *node) write(t *testing.T) *writers {
	t.Helper()
	w := &writers{acked: map[int]bool{}}
	const many = 8
	for first := range many {
		w.all.Go(func() {
			conn, err := n.root.Conn(context.Background())
			if err != nil {
				return
			}
			defer conn.Close()
			for id := first + 1; ; id += many {
				if _, err := conn.ExecContext(context.Background(), fmt.Sprintf("INSERT INTO app.t VALUES (%d)", id)); err != nil {
					return
				}
				w.last.Store(int64(lease.Now()))
				w.mu.Lock()
				w.acked[id] = true
				w.mu.Unlock()
			}
		})
	}
	eventually(t, "rows are written", func() bool { return w.count() > 100 })
	return w
}

func (w *writers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

// open makes a database that an account without READ_ONLY ADMIN writes to.
func (n *node) open(t *testing.T) {
	t.Helper()
	n.exec(t, "CREATE DATABASE app; CREATE TABLE app.t(id INT PRIMARY KEY)")
}

// plain is the server by an account that read_only stops.
func (n *node) plain(t *testing.T) {
	t.Helper()
	n.exec(t, "SET SESSION sql_log_bin=0; REVOKE READ_ONLY ADMIN ON *.* FROM root@localhost; SET SESSION sql_log_bin=1")
	n.root.SetMaxIdleConns(0) // sessions keep what they had
}

func (n *node) named(s api.Stamp, committed uint64, primary *node, open bool) {
	g := grant(s, committed, primary.me.Address, open)
	g.Primary, g.Acknowledge, g.Degraded = primary.me, true, n.degraded
	n.keeper.set(func() { n.keeper.grants = []api.Grant{g} })
}

// TestRealLease: on a real server under load, a lease that ends, a restart of the
// agent, a stopped server, and one that is started writable.
func TestRealLease(t *testing.T) {
	n := fleet(t, 1)[0]
	const length = 2 * time.Second
	n.keeper.length = length
	n.degraded = true // nobody is there to acknowledge
	n.named(stamp(1, api.StepIdle), 1, n, true)
	n.exec(t, "SET GLOBAL read_only=0") // as somebody left it
	n.db.Close()
	n.startAgent(t)
	stop := n.runUntil(n.keeper)
	eventually(t, "it is writable by its lease", func() bool { return n.keeper.last().Role == "primary" })
	if beat := n.keeper.beats[0]; !beat.ReadOnly && beat.Role == "primary" {
		t.Errorf("it beat before it was read-only: %+v", beat)
	}
	eventually(t, "semi-sync is off, as recorded", func() bool { return n.value(t, "SELECT @@global.rpl_semi_sync_master_enabled") == "0" })
	n.open(t)
	n.plain(t)

	// A restart of the agent within the lease: nobody notices.
	w := n.write(t)
	stop()
	ok(t, n.Close())
	n.openAgent(t)
	stop = n.runUntil(n.keeper)
	had, beats := w.count(), n.keeper.count()
	eventually(t, "writes go on", func() bool { return w.count() > had+100 && n.keeper.count() > beats+3 })
	if n.value(t, "SELECT @@global.read_only") != "0" {
		t.Error("a restart of the agent was a blip")
	}

	// The keepers are gone: 8 writers and a long transaction are stopped in time.
	long, err := n.root.Conn(t.Context())
	ok(t, err)
	for _, text := range []string{"BEGIN", "INSERT INTO app.t VALUES (-1)"} {
		_, err = long.ExecContext(t.Context(), text)
		ok(t, err)
	}
	n.keeper.set(func() { n.keeper.down = true })
	n.root.SetMaxIdleConns(2)
	w.all.Wait()
	end := n.lease.moment()
	if last := lease.Instant(w.last.Load()); last >= end.Add(-lease.For(length).Kill) {
		t.Errorf("the last write was acknowledged %v before the end of the lease", end.Sub(last))
	} else {
		t.Logf("the last of %d writes was acknowledged %v before the end of the lease", w.count(), end.Sub(last))
	}
	if _, err := long.ExecContext(t.Context(), "COMMIT"); err == nil {
		t.Error("the long transaction was committed")
	}
	ok(t, long.Close())
	eventually(t, "it is read-only", func() bool { return n.value(t, "SELECT @@global.read_only") == "1" })

	// A server that is stopped is killed before the lease ends.
	n.keeper.set(func() { n.keeper.down = false })
	eventually(t, "it is writable again", func() bool { return n.value(t, "SELECT @@global.read_only") == "0" })
	n.keeper.set(func() { n.keeper.length = -1 })
	ok(t, n.cmd.Process.Signal(syscall.SIGSTOP))
	select {
	case <-n.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("a stopped server was not killed")
	}
	if left := lease.Until(n.lease.moment()); left < 0 {
		t.Errorf("killed %v after the end of the lease", -left)
	} else {
		t.Logf("a stopped server was killed %v before the end of the lease", left)
	}
	eventually(t, "the keepers hear of it", func() bool { return n.keeper.last().Dead })

	// Somebody starts it writable (R21).
	n.start(t, "--read-only=0")
	eventually(t, "it is read-only before anything", func() bool { return n.keeper.last().ReadOnly && n.keeper.last().Alarm != "" })
	if n.value(t, "SELECT @@global.read_only") != "1" {
		t.Error("writable")
	}
	stop()
}

// serverConf is what the file that the agent writes makes a server start with.
func (n *node) serverConf() []string {
	text, err := os.ReadFile(filepath.Join(n.agents, "server.cnf"))
	if err == nil && string(text) == confReplica {
		return []string{"--init-rpl-role=SLAVE"}
	}
	return nil
}

// TestRealFailover: three servers with semi-sync, the primary is killed under
// load; nothing acknowledged is lost.
func TestRealFailover(t *testing.T) {
	nodes := fleet(t, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	for _, n := range nodes {
		n.named(stamp(0, api.StepIdle), 0, a, true)
		if n != a {
			n.exec(t, fmt.Sprintf(`SET GLOBAL rpl_semi_sync_slave_enabled=1; CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%s,
MASTER_USER='zero_repl', MASTER_PASSWORD='rp', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos; START SLAVE`, a.me.Address[len("127.0.0.1:"):]))
		}
		n.run(n.keeper)
	}
	eventually(t, "the primary is writable", func() bool { return a.keeper.last().Role == "primary" })
	eventually(t, "both replicas receive", func() bool { return b.keeper.last().Receiving && c.keeper.last().Receiving })
	a.open(t)
	w := a.write(t)
	killed := time.Now()
	a.kill()
	w.all.Wait()
	eventually(t, "the keepers hear of it", func() bool { return a.keeper.last().Dead })
	t.Logf("told dead after %v", time.Since(killed))

	say := func(step uint8, primary *node, committed uint64, open bool) {
		for _, n := range nodes {
			n.named(stamp(1, step), committed, primary, open)
		}
	}
	say(api.StepStopping, a, 0, true)
	for _, n := range []*node{b, c} {
		n.order(t, stamp(1, api.StepStopping), api.PrepareDatasource, api.PrepareDatasourceRequest{HostGroup: "orders", Candidate: n.me})
	}
	say(api.StepFencing, a, 0, false)
	if fenced := a.order(t, stamp(1, api.StepFencing), api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: "orders", Primary: a.me, BoundMS: 300, Kill: true}); !fenced.Dead {
		t.Errorf("fenced: %+v", fenced)
	}
	most := uint64(0)
	for _, n := range []*node{b, c} {
		got := n.order(t, stamp(1, api.StepFencing), api.StopReceivingDatasource, api.StopReceivingDatasourceRequest{HostGroup: "orders", Primary: a.me})
		if got.Receiving || got.Received == "" {
			t.Errorf("stopped: %+v", got)
		}
		number, err := strconv.ParseUint(got.Received[strings.LastIndexByte(got.Received, '-')+1:], 10, 64)
		if ok(t, err); n == c && number > most {
			b, c = c, b // one acknowledgement is enough: whoever received more has it (R19)
		}
		most = max(most, number)
	}
	drained := b.order(t, stamp(1, api.StepCatchingUp), api.DrainDatasource, api.DrainDatasourceRequest{HostGroup: "orders", Candidate: b.me, TimeoutMS: 10_000})
	if drained.Received != drained.Applied {
		t.Errorf("drained: %+v", drained)
	}
	say(api.StepPromoting, b, 1, true)
	b.order(t, stamp(1, api.StepPromoting), api.PromoteDatasource, api.PromoteDatasourceRequest{HostGroup: "orders", Primary: b.me})
	say(api.StepIdle, b, 1, true)
	rows, err := b.root.QueryContext(t.Context(), "SELECT id FROM app.t")
	ok(t, err)
	defer rows.Close()
	for rows.Next() {
		var id int
		ok(t, rows.Scan(&id))
		delete(w.acked, id)
	}
	if len(w.acked) > 0 {
		t.Errorf("%d acknowledged rows are lost", len(w.acked))
	}
	eventually(t, "the other one follows", func() bool { s := c.keeper.last(); return s.Source == b.me.Address && s.Receiving })

	// The old primary comes back, and is read-only whatever it has.
	eventually(t, "the old primary may be started", func() bool { return a.MayStart(t.Context()) == nil })
	a.start(t, a.serverConf()...)
	eventually(t, "the old primary follows, or says why not", func() bool {
		s := a.keeper.last()
		return s.Source == b.me.Address && s.Receiving || s.Alarm != ""
	})
	t.Logf("the old primary's alarm: %q", a.keeper.last().Alarm)
	if alarm := a.keeper.last().Alarm; strings.Contains(alarm, "errant") {
		saved, err := filepath.Glob(filepath.Join(a.agents, "errant", "errant-*", "bin.*"))
		if ok(t, err); len(saved) == 0 {
			t.Errorf("nothing was saved: %s", alarm)
		}
	} else if alarm != "" {
		t.Errorf("the old primary: %s", alarm)
	}
	if a.value(t, "SELECT @@global.read_only") != "1" {
		t.Error("the old primary is writable")
	}
}
