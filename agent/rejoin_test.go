package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

// TestMayStart: a server that died is started when it is decided what it is.
func TestMayStart(t *testing.T) {
	idle := stamp(2, api.StepIdle)
	for _, test := range []struct {
		name  string
		is    func(r *rig)
		wants string // in the reason; empty: it may
	}{
		{"it runs", func(r *rig) { r.dead = false; r.db.set(func() { r.db.dead = false }) }, ""},
		{"the role is lost", func(r *rig) { r.notes.Role, r.heard = roleNotPrimary, false }, ""},
		{"no keeper was heard", func(r *rig) { r.heard = false }, "no keeper has answered"},
		{"none since the death", func(r *rig) { r.answered = r.diedAt.Add(-time.Millisecond) }, "no keeper has answered"},
		{"none now", func(r *rig) { r.answered = time.Now().Add(-2 * silence) }, "no keeper has answered"},
		{"it died a moment ago", func(r *rig) { r.diedAt = time.Now().Add(-time.Millisecond); r.answered = time.Now() }, "may take another"},
		{"keepers came back a moment ago", func(r *rig) { r.contact = time.Now() }, "may take another"},
		{"a switch is open", func(r *rig) { r.notes.Stamp = stamp(3, api.StepRequested); r.grants = []api.Grant{{}} }, "a switch is open"},
		{"fenced, and not committed", func(r *rig) {
			r.notes.Role, r.notes.Lent, r.notes.Stamp = roleNotPrimary, 3, stamp(3, api.StepFencing)
			r.grants = []api.Grant{{}}
		}, "a switch is open"},
		{"nobody took its place", func(*rig) {}, ""},
		{"and nothing is said of the group", func(r *rig) { r.notes.Stamp = stamp(3, api.StepRollingBack) }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, writable())
			close(r.looked)
			r.db.set(r.db.die)
			r.dead, r.heard, r.answered, r.diedAt, r.contact = true, true, time.Now(), time.Now().Add(-time.Minute), time.Now().Add(-time.Hour)
			r.notes.Role, r.notes.Stamp = rolePrimary, idle
			test.is(r)
			err := r.MayStart(t.Context())
			if text := fmt.Sprint(err); (err == nil) != (test.wants == "") || !strings.Contains(text, test.wants) {
				t.Errorf("%v, want %q", err, test.wants)
			}
		})
	}
	if err := newRig(t, writable()).MayStart(t.Context()); err == nil {
		t.Error("it may be started before the agent has looked")
	}
}

// TestAgainAsReplica: what is started as a primary is ended when it turns out that it is not
// one any more, and is left alone else.
func TestAgainAsReplica(t *testing.T) {
	for _, test := range []struct {
		name string
		dead bool
		fail error
		conf bool
		want int
	}{
		{"in its recovery", true, nil, true, 1},
		{"not started yet", true, mysql.ErrNoProcess, true, 1},
		{"it cannot be killed", true, errors.New("no"), true, 1},
		{"it answers", false, nil, true, 0},
		{"no file is written", true, nil, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newLeased(t, writable(), func(c *Config) {
				if test.conf {
					c.ServerConf = filepath.Join(t.TempDir(), "zero.cnf")
				}
			})
			_, _, err := r.adopt(r.call, grant(stamp(1, api.StepIdle), 1, own, true))
			ok(t, err)
			if test.dead {
				r.died()
			}
			r.db.set(func() { r.db.fail["Kill"] = test.fail })
			for range 2 { // told twice, done once
				_, _, err = r.adopt(r.call, grant(stamp(2, api.StepIdle), 2, primary, true))
				ok(t, err)
			}
			if got := r.db.called("Kill"); got != test.want {
				t.Errorf("killed %d times, want %d", got, test.want)
			}
		})
	}
}

// crashed is a pair whose primary has died with one row that was acknowledged a moment ago,
// 1, and if ahead with another that no replica has, 2. The replica is prepared and the
// primary fenced, by a failover of generation 1.
func crashed(t *testing.T, ahead bool) (a, b *node, say func(step uint8, primary *node, committed uint64, open bool)) {
	t.Helper()
	a, b = pair(t)
	b.exec(t, fmt.Sprintf(`SET GLOBAL rpl_semi_sync_slave_enabled=1; CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%s,
MASTER_USER='zero_repl', MASTER_PASSWORD='rp', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos; START SLAVE`, a.me.Address[len("127.0.0.1:"):]))
	for _, n := range []*node{a, b} {
		n.named(stamp(0, api.StepIdle), 0, a, true)
		n.run(n.keeper)
	}
	eventually(t, "the primary is writable", func() bool { return a.keeper.last().Role == "primary" })
	eventually(t, "the replica acknowledges", func() bool { return a.keeper.last().SemiSync.Clients == 1 })
	a.exec(t, "CREATE DATABASE app; CREATE TABLE app.t(id INT PRIMARY KEY)")
	say = func(step uint8, primary *node, committed uint64, open bool) {
		for _, n := range []*node{a, b} {
			n.named(stamp(1, step), committed, primary, open)
		}
	}
	say(api.StepStopping, a, 0, true)
	b.order(t, stamp(1, api.StepStopping), api.PrepareDatasource, api.PrepareDatasourceRequest{HostGroup: "orders", Candidate: b.me})
	hangs := make(chan struct{})
	if ahead {
		a.exec(t, "INSERT INTO app.t VALUES (1)")
		b.order(t, stamp(1, api.StepStopping), api.StopReceivingDatasource, api.StopReceivingDatasourceRequest{HostGroup: "orders", Primary: a.me})
		before := a.value(t, "SELECT @@global.gtid_binlog_pos")
		go func() {
			defer close(hangs)
			_, _ = a.root.Exec("INSERT INTO app.t VALUES (2)") // it ends with the server
		}()
		eventually(t, "a row that nobody has", func() bool { return a.value(t, "SELECT @@global.gtid_binlog_pos") != before })
	} else {
		close(hangs)
		a.exec(t, "INSERT INTO app.t VALUES (1)")
	}
	a.kill()
	<-hangs
	eventually(t, "the keepers hear of it", func() bool { return a.keeper.last().Dead })
	say(api.StepFencing, a, 0, false)
	if fenced := a.order(t, stamp(1, api.StepFencing), api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: "orders", Primary: a.me, BoundMS: 300, Kill: true}); !fenced.Dead {
		t.Fatalf("fenced: %+v", fenced)
	}
	return a, b, say
}

// TestRealRollbackOfFailover: a host starts a dead primary again that a failover has
// fenced, and the failover is rolled back. What it acknowledged last is still there.
func TestRealRollbackOfFailover(t *testing.T) {
	a, _, say := crashed(t, false)
	if err := a.MayStart(t.Context()); err == nil {
		t.Error("it may be started before the switch is over")
	}
	a.start(t, a.serverConf()...) // a host that does not wait
	eventually(t, "it is back", func() bool { s := a.keeper.last(); return !s.Dead && s.MySQL.Status == 1 && s.ReadOnly })
	say(api.StepRollingBack, a, 0, true)
	a.order(t, stamp(1, api.StepRollingBack), api.RestoreDatasource, api.RestoreDatasourceRequest{HostGroup: "orders", Primary: a.me})
	if got := a.value(t, "SELECT COUNT(*) FROM app.t WHERE id=1"); got != "1" {
		t.Error("an acknowledged row is lost: the server was made writable again after it had taken it back")
	}
}

// TestRealRejoin: a host that does not wait starts a dead primary that had written what
// no replica has, and the failover commits while that server is in its recovery. It is
// ended, started as a replica, and needs nobody.
func TestRealRejoin(t *testing.T) {
	a, b, say := crashed(t, true)
	a.start(t, a.serverConf()...)
	eventually(t, "it is in its data directory", func() bool {
		at, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", a.cmd.Process.Pid))
		return err == nil && at == a.data
	})
	ok(t, a.cmd.Process.Signal(syscall.SIGSTOP))
	got := b.order(t, stamp(1, api.StepCatchingUp), api.DrainDatasource, api.DrainDatasourceRequest{HostGroup: "orders", Candidate: b.me, TimeoutMS: 10_000})
	if got.Received != got.Applied {
		t.Fatalf("drained: %+v", got)
	}
	say(api.StepPromoting, b, 1, true)
	b.order(t, stamp(1, api.StepPromoting), api.PromoteDatasource, api.PromoteDatasourceRequest{HostGroup: "orders", Primary: b.me})
	say(api.StepIdle, b, 1, true)
	select {
	case <-a.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("a server that is started as a primary, and is not one, was left")
	}
	eventually(t, "it may be started", func() bool { return a.MayStart(t.Context()) == nil })
	a.start(t, a.serverConf()...)
	eventually(t, "it follows, or says why not", func() bool {
		s := a.keeper.last()
		return s.Source == b.me.Address && s.Receiving || strings.Contains(s.Alarm, "errant")
	})
	if alarm := a.keeper.last().Alarm; alarm != "" {
		t.Error(alarm)
	}
	if got := a.value(t, "SELECT GROUP_CONCAT(id) FROM app.t"); got != "1" {
		t.Errorf("it has the rows %s, want 1", got)
	}
}
