package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

func TestBootstrapWriteRestart(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	f.mustPut("a", "1")
	for _, n := range nodes {
		f.eventually("every keeper applies it", func() bool { return get(n.State(), "a") == "1" })
		if n.ClusterID() == "" || n.ClusterID() != leader.ClusterID() {
			t.Errorf("%s is of cluster %q, the leader of %q", n.cfg.Name, n.ClusterID(), leader.ClusterID())
		}
		if got := len(n.Members()); got != 3 {
			t.Errorf("%s knows %d members, want 3: %+v", n.cfg.Name, got, n.Members())
		}
	}
	ids := map[string]string{}
	for _, n := range nodes {
		ids[n.cfg.Name] = n.ID()
		f.crash(n)
	}
	for i, n := range nodes {
		nodes[i] = f.restart(n)
	}
	f.ready(nodes...)
	leader = f.leader(nodes...)
	state, err := leader.Linearizable(t.Context())
	if err != nil || get(state, "a") != "1" {
		t.Errorf("after the restart of all: a = %q, %v", get(state, "a"), err)
	}
	for _, n := range nodes {
		if n.ID() != ids[n.cfg.Name] {
			t.Errorf("%s has another member id after its restart", n.cfg.Name)
		}
		if m := n.State().Member(n.ID()); m.Incarnation[:2] != "2-" {
			t.Errorf("%s is recorded with incarnation %s, want the second", n.cfg.Name, m.Incarnation)
		}
	}
}

func TestLeaderKilled(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)

	// Clients write all the time, and remember what was acknowledged.
	var acked, unknown, failed sync.Map
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprintf("%d/%d", c, i)
				for _, n := range nodes {
					_, err := put(context.Background(), n, key, key)
					if err == nil {
						acked.Store(key, true)
						break
					}
					if errors.Is(err, api.ErrOutcomeUnknown) {
						unknown.Store(key, true)
						break
					}
					failed.Store(key, err)
				}
			}
		})
	}
	f.eventually("some writes", func() bool { return size(&acked) > 20 })
	killed := time.Now()
	f.crash(leader)
	rest := others(nodes, leader)
	before := size(&acked)
	f.eventually("writes go on", func() bool { return size(&acked) > before+20 })
	t.Logf("writes went on %v after the leader was killed; %d acknowledged, %d unknown", time.Since(killed), size(&acked), size(&unknown))
	stop()
	clients.Wait()

	state, err := f.leader(rest...).Linearizable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	acked.Range(func(key, _ any) bool {
		if get(state, key.(string)) != key {
			t.Errorf("acknowledged %v is gone", key)
		}
		return true
	})
	// What was definitely not done, and not tried elsewhere with success, is not there.
	failed.Range(func(key, _ any) bool {
		_, ok := acked.Load(key)
		_, maybe := unknown.Load(key)
		if !ok && !maybe && get(state, key.(string)) != "" {
			t.Errorf("%v failed definitely, yet it is there", key)
		}
		return true
	})
	back := f.restart(leader)
	f.ready(back)
	f.eventually("the killed one catches up", func() bool { return back.State().Hash() == f.leader(rest...).State().Hash() })
}

func size(m *sync.Map) int {
	count := 0
	m.Range(func(any, any) bool { count++; return true })
	return count
}

func TestCloseHandsOver(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	f.close(leader)
	// Whoever leads now was told to, and did not have to find out.
	f.leader(others(nodes, leader)...)
	if !strings.Contains(f.log.String(), "handed leadership over") {
		t.Error("leadership was not handed over")
	}
}

func TestTransferByName(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	to := others(nodes, leader)[0]
	for _, who := range []string{to.cfg.Name, to.ID(), to.cfg.Advertise} {
		leader = f.leader(nodes...)
		if leader == to {
			if err := leader.TransferLeadership(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			leader = f.leader(others(nodes, to)...)
		}
		if err := leader.TransferLeadership(t.Context(), who); err != nil {
			t.Fatalf("transfer to %s: %v", who, err)
		}
		f.eventually("the named one leads", func() bool { return f.leader(nodes...) == to })
	}
	if err := to.TransferLeadership(t.Context(), "nobody"); !errors.Is(err, api.ErrKeyMissing) {
		t.Errorf("transfer to nobody: %v", err)
	}
	if err := leader.TransferLeadership(t.Context(), ""); !errors.Is(err, api.ErrNotLeader) {
		t.Errorf("transfer on a follower: %v", err)
	}
}

func TestDev(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	c := f.config("solo", 0)
	c.Dev, c.DataDir, c.Peers = true, "", nil
	n := f.mustOpen(c)
	f.ready(n)
	f.mustPut("a", "1")
	if state, err := n.Linearizable(t.Context()); err != nil || get(state, "a") != "1" {
		t.Errorf("a = %q, %v", get(state, "a"), err)
	}
	if s := n.Status(); s.State != "leader" || !s.Ready || s.Hash == "" || s.ClusterID == "" {
		t.Errorf("status %+v", s)
	}
	if err := n.TransferLeadership(t.Context(), ""); !errors.Is(err, api.ErrBadRequest) {
		t.Errorf("transfer with nobody else: %v", err)
	}
}

func TestDirectoryInUse(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.mustOpen(f.config("k1", 1))
	f.ready(n)
	c := f.config("k1", 1)
	c.Advertise = "127.0.0.1:1"
	f.addrs["k1"] = ""
	if _, err := f.open(c); !errors.Is(err, ErrInUse) {
		t.Errorf("a second keeper on the directory: %v", err)
	}
	if _, err := put(t.Context(), n, "a", "1"); err != nil {
		t.Errorf("the first one suffered: %v", err)
	}
}

func TestRefusedDirectories(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, dir string)
		keeper string
		want   error
	}{
		{name: "log missing", damage: remove(raftFile), want: ErrWiped},
		{name: "log empty", damage: truncate(raftFile), want: ErrWiped},
		{name: "log and snapshots missing", damage: func(t *testing.T, dir string) {
			remove(raftFile)(t, dir)
			remove(snapshotsDir)(t, dir)
		}, want: ErrWiped},
		{name: "log of a fresh directory", damage: func(t *testing.T, dir string) {
			remove(raftFile)(t, dir)
			bolt, err := openBolt(dir)
			if err != nil {
				t.Fatal(err)
			}
			_ = bolt.Close()
		}, want: ErrWiped},
		{name: "identity missing", damage: remove(identityFile), want: ErrDirectory},
		{name: "identity empty", damage: truncate(identityFile), want: ErrDamaged},
		{name: "identity of a later version", damage: rewrite(identityFile, `{"formatVersion":9}`), want: ErrDamaged},
		{name: "log is no database", damage: rewrite(raftFile, "these are not the pages you are looking for"), want: ErrDamaged},
		{name: "another keeper's", keeper: "k9", damage: func(*testing.T, string) {}, want: ErrForeign},
	}
	t.Parallel()
	f := newFleet(t)
	n := f.mustOpen(f.config("k1", 1))
	f.ready(n)
	f.mustPut("a", "1")
	f.close(n)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "k1")
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(f.dir, "k1"))); err != nil {
				t.Fatal(err)
			}
			test.damage(t, dir)
			c := f.config("k1", 1)
			c.DataDir = dir
			if test.keeper != "" {
				c.Name = test.keeper
			}
			_, err := f.open(c)
			if !errors.Is(err, test.want) {
				t.Errorf("opened with %v, want %v", err, test.want)
			}
			t.Log(err)
		})
	}
	f.ready(f.restart(n)) // the undamaged one starts
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func truncate(name string) func(*testing.T, string) { return rewrite(name, "") }

func rewrite(name, content string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSnapshotAndRestore(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup = func(_ string, c *Config) {
		c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 20, 20*time.Millisecond, 5
	}
	nodes := f.group(3)
	leader := f.leader(nodes...)
	behind := others(nodes, leader)[0]
	f.crash(behind)
	for i := range 100 {
		f.mustPut(fmt.Sprint(i), "v")
	}
	rest := others(nodes, behind)
	f.eventually("snapshots are taken", func() bool {
		for _, n := range rest {
			if len(snapshotsOf(t, n)) == 0 || firstIndex(t, n) < 20 {
				return false
			}
		}
		return true
	})
	// The one that is too far behind for the log gets a snapshot.
	behind = f.restart(behind)
	f.ready(behind)
	f.eventually("it catches up by snapshot", func() bool { return behind.State().Hash() == f.leader(rest...).State().Hash() })
	// And another restarts from its own, past one that a crash cut short.
	f.crash(rest[0])
	unfinished := filepath.Join(rest[0].cfg.DataDir, snapshotsDir, "9-999-1.tmp")
	if err := os.MkdirAll(unfinished, 0o700); err != nil {
		t.Fatal(err)
	}
	again := f.restart(rest[0])
	f.ready(again)
	if get(again.State(), "99") != "v" || get(again.State(), "0") != "v" {
		t.Error("the restarted one lacks writes")
	}
	if _, err := os.Stat(unfinished); err == nil {
		t.Error("an unfinished snapshot is left")
	}
}

func snapshotsOf(t *testing.T, n *Node) []string {
	t.Helper()
	entries, err := filepath.Glob(filepath.Join(n.cfg.DataDir, snapshotsDir, "*[0-9]"))
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func firstIndex(t *testing.T, n *Node) uint64 {
	t.Helper()
	first, err := n.stores.log.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func TestDamagedNewestSnapshot(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup = func(_ string, c *Config) {
		c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 20, 20*time.Millisecond, 1
	}
	n := f.mustOpen(f.config("k1", 1))
	f.ready(n)
	for i := range 100 {
		f.mustPut(fmt.Sprint(i), "v")
	}
	f.eventually("a snapshot", func() bool { return len(snapshotsOf(t, n)) > 0 && firstIndex(t, n) > 20 })
	f.close(n)
	for _, dir := range snapshotsOf(t, n) {
		path := filepath.Join(dir, "state.bin")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		rewrite("state.bin", string(data))(t, dir)
	}
	if _, err := f.open(f.again(n)); err == nil {
		t.Error("a keeper started without the entries that only its damaged snapshots had")
	}
}

func TestHaltingEntry(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	entry, err := fsm.Encode(fsm.Header{Time: 1}, &fsm.PutSection{ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	entry[len(entry)-1] ^= 0x10 // a bit flips on its way to the log
	if err := rawEntry(t.Context(), leader, entry); err != nil {
		t.Log(err) // the leader may be gone before it answers
	}
	// The leader stops at it; so does the next one, which commits what it has.
	// The last one has no quorum and never learns that the entry is committed.
	var halted []*Node
	f.eventually("two of three halt", func() bool {
		halted = nil
		for _, n := range nodes {
			if n.usable() != nil {
				halted = append(halted, n)
			}
		}
		return len(halted) >= 2
	})
	for _, n := range halted {
		if err := wantFatal(t, n, ErrHalted); !errors.Is(err, fsm.ErrCorrupt) {
			t.Errorf("%s halted with %v", n.cfg.Name, err)
		}
		if _, err := put(t.Context(), n, "a", "1"); !errors.Is(err, api.ErrNotReady) {
			t.Errorf("a halted keeper answers a write with %v", err)
		}
		if _, err := n.Linearizable(t.Context()); !errors.Is(err, api.ErrNotReady) {
			t.Errorf("a halted keeper answers a read with %v", err)
		}
		if _, _, err := n.Stale(t.Context(), time.Hour); !errors.Is(err, api.ErrNotReady) {
			t.Errorf("a halted keeper answers a stale read with %v", err)
		}
		if _, err := n.applier.Snapshot(); !errors.Is(err, ErrHalted) {
			t.Errorf("a halted keeper takes a snapshot: %v", err)
		}
	}
}
