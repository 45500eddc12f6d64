package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// content is what a data directory says, but for the count of its starts.
type content struct {
	Member, Cluster string
	Ledger          ledger
	Entries         []raft.Log
	Snapshot        uint64
	State           [32]byte
}

// contentOf opens a directory as a start does and reads everything.
func contentOf(cfg Config) (c content, err error) {
	s, err := openStores(cfg, hclog.NewNullLogger())
	if err != nil {
		return c, err
	}
	defer s.close()
	logs := s.log.(*sealed)
	id := s.identity.get()
	c = content{Member: id.MemberID, Cluster: id.ClusterID, Ledger: logs.get()}
	for i := c.Ledger.first; i <= c.Ledger.last; i++ {
		var e raft.Log
		if err := logs.GetLog(i, &e); err != nil {
			return c, err
		}
		e.AppendedAt = time.Time{} // for people
		c.Entries = append(c.Entries, e)
	}
	meta, state, err := s.snapshots.(*snapshotFiles).newest()
	if err == nil && meta != nil {
		c.Snapshot, c.State = meta.Index, state.Hash()
	}
	return c, err
}

// settledFleet is a group whose keepers have snapshots and a log behind them; the
// last node is stopped.
func settledFleet(t *testing.T) (f *fleet, running []*Node, stopped *Node) {
	f = newFleet(t)
	f.setup = func(_ string, c *Config) {
		c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 20, 20*time.Millisecond, 10
	}
	nodes := f.group(3)
	for i := range 60 {
		f.mustPut(fmt.Sprint(i), strings.Repeat("v", 20*(i%7)))
	}
	leader := f.leader(nodes...)
	stopped = others(nodes, leader)[0]
	f.eventually("snapshots are taken", func() bool {
		for _, n := range nodes {
			if len(snapshotsOf(t, n)) < 2 || firstIndex(t, n) < 20 {
				return false
			}
		}
		return stopped.State().Hash() == leader.State().Hash()
	})
	f.close(stopped)
	return f, others(nodes, stopped), stopped
}

// copied is a copy of the directory that counts more starts, so that the group
// does not take it for an older copy.
func copied(t *testing.T, dir string, starts int) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "k")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	id, err := readIdentity(to)
	if err != nil {
		t.Fatal(err)
	}
	id.Incarnation = fmt.Sprintf("%d-test", starts)
	if err := writeIdentity(to, *id); err != nil {
		t.Fatal(err)
	}
	return to
}

// saysWhatToDo reports whether a refusal is one, and helps.
func saysWhatToDo(err error) bool {
	if !errors.Is(err, ErrDirectory) {
		return false
	}
	for _, hint := range []string{"restore the whole directory", "remove the member", "Use its name", "recover --skip"} {
		if strings.Contains(err.Error(), hint) {
			return true
		}
	}
	return false
}

// A bit that flips anywhere in a data directory is either noticed or means
// nothing: what is read back is what was written.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	f, _, stopped := settledFleet(t)
	cfg := f.again(stopped)
	cfg.DataDir = copied(t, stopped.cfg.DataDir, 100)
	want, err := contentOf(cfg)
	if err != nil || len(want.Entries) < 10 || want.Snapshot == 0 {
		t.Fatalf("%d entries, snapshot %d: %v", len(want.Entries), want.Snapshot, err)
	}
	rng := rand.New(rand.NewPCG(7, 7))
	var files []string
	if err := filepath.WalkDir(cfg.DataDir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != reserveFile {
			name, _ := filepath.Rel(cfg.DataDir, path)
			files = append(files, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		noticed, harmless := 0, 0
		for i := range flipsOf(name) {
			dir := copied(t, stopped.cfg.DataDir, 100)
			at := flip(t, filepath.Join(dir, name), rng, i)
			c := cfg
			c.DataDir = dir
			got, err := contentOf(c)
			switch {
			case err != nil && !saysWhatToDo(err):
				t.Errorf("%s, %s: refused without help: %v", name, at, err)
			case err != nil:
				noticed++
			case strings.HasPrefix(name, snapshotsDir) && got.Snapshot < want.Snapshot:
				noticed++ // an older snapshot and a log that reaches back to it
				got.Snapshot, got.State = want.Snapshot, want.State
				fallthrough
			default:
				harmless++
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s, %s: a flipped bit was not noticed:\n got %+v\nwant %+v", name, at, got, want)
				}
			}
			_ = os.RemoveAll(dir)
		}
		t.Logf("%s: %d flips noticed, %d without effect", name, noticed, harmless)
	}
}

func flipsOf(name string) int {
	switch {
	case name == raftFile:
		return 120
	case strings.HasSuffix(name, ".json"):
		return 24
	}
	return 10
}

// flip flips one bit of a file, and says which. Of a database every other one is
// in a root, in a page's header or among its elements.
func flip(t *testing.T, path string, rng *rand.Rand, i int) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := rng.IntN(len(data))
	if filepath.Base(path) == raftFile {
		switch page := 4096 * rng.IntN(len(data)/4096); i % 4 {
		case 1:
			at = 4096*rng.IntN(2) + rng.IntN(80)
		case 2:
			at = page + rng.IntN(16)
		case 3:
			at = page + 16 + rng.IntN(300)
		}
	}
	bit := rng.IntN(8)
	data[at] ^= 1 << bit
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("bit %d of byte %d of %d", bit, at, len(data))
}

// Every file of a stopped keeper is damaged in every way; then it is started in
// its group. It is refused with what to do, or becomes equal to the others.
func TestDamageMatrix(t *testing.T) {
	t.Parallel()
	f, running, stopped := settledFleet(t)
	foreign := filepath.Join(t.TempDir(), "foreign")
	f.crash(running[0])
	if err := os.CopyFS(foreign, os.DirFS(running[0].cfg.DataDir)); err != nil {
		t.Fatal(err)
	}
	foreignSnapshots, err := filepath.Glob(filepath.Join(foreign, snapshotsDir, "*[0-9]"))
	if err != nil {
		t.Fatal(err)
	}
	newestForeign := foreignSnapshots[len(foreignSnapshots)-1]
	running[0] = f.restart(running[0])
	f.ready(running...)
	names := []string{raftFile, identityFile, reserveFile}
	for _, s := range snapshotsOf(t, stopped) {
		names = append(names, filepath.Join(snapshotsDir, filepath.Base(s), "meta.json"), filepath.Join(snapshotsDir, filepath.Base(s), snapshotState))
	}
	damages := []struct {
		name string
		do   func(data []byte) []byte
	}{
		{"empty", func([]byte) []byte { return []byte{} }},
		{"half", func(d []byte) []byte { return d[:len(d)/2] }},
		{"a flipped bit", func(d []byte) []byte { d[len(d)/3] ^= 4; return d }},
		{"a zeroed page", func(d []byte) []byte { return zeroed(d, 2*4096) }},
		{"another zeroed page", func(d []byte) []byte { return zeroed(d, len(d)/2/4096*4096) }},
		{"garbage behind", func(d []byte) []byte { return append(d, "garbage"...) }},
		{"another member's", nil},
		{"deleted", nil},
	}
	starts, outcomes := 1000, map[string]int{}
	for _, name := range names {
		for _, damage := range damages {
			starts++
			dir := copied(t, stopped.cfg.DataDir, starts)
			path := filepath.Join(dir, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case damage.do != nil:
				data = damage.do(data)
			case damage.name == "deleted":
				data = nil
			default:
				from := filepath.Join(foreign, name)
				if strings.HasPrefix(name, snapshotsDir) {
					from = filepath.Join(newestForeign, filepath.Base(name))
				}
				if data, err = os.ReadFile(from); err != nil {
					t.Fatal(err)
				}
			}
			if data == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			c := f.again(stopped)
			c.DataDir = dir
			n, err := f.open(c)
			if err != nil {
				outcomes["refused"]++
				if !saysWhatToDo(err) {
					t.Errorf("%s, %s: refused without help: %v", name, damage.name, err)
				}
				continue
			}
			outcomes["started"]++
			f.mustPut("after", fmt.Sprint(starts))
			f.eventually(fmt.Sprintf("%s, %s: the keeper is as the others", name, damage.name), func() bool {
				if err := n.usable(); err != nil {
					t.Fatalf("%s, %s: it ended: %v", name, damage.name, err)
				}
				return get(n.State(), "after") == fmt.Sprint(starts) && n.State().Hash() == f.leader(append(running, n)...).State().Hash()
			})
			f.crash(n)
		}
	}
	t.Log(outcomes)
	if strings.Contains(f.log.String(), "goroutine ") {
		t.Error("the log has a panic's trace")
	}
}

// zeroed is the data with the page at the offset zeroed, or what there is of it.
func zeroed(data []byte, at int) []byte {
	if at >= len(data) {
		at = 0
	}
	clear(data[at:min(at+4096, len(data))])
	return data
}
