package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/cluster"
	"github.com/zerokeeper/zero/fsm"
)

// openKeeper starts a group of one, which takes snapshots often, and waits until it serves.
func openKeeper(ctx context.Context, t *testing.T, dir string) *cluster.Node {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := cluster.DefaultConfig()
	cfg.Name, cfg.DataDir, cfg.Listener, cfg.Advertise, cfg.BootstrapExpect = "k1", dir, listener, listener.Addr().String(), 1
	cfg.Timing, err = cluster.Profile("fast")
	if err != nil {
		t.Fatal(err)
	}
	cfg.SnapshotThreshold, cfg.SnapshotInterval, cfg.TrailingLogs = 10, 20*time.Millisecond, 4
	n, err := cluster.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRealKeeper reads what a real keeper wrote: its snapshots and its log lead to the state that it had.
func TestRealKeeper(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "k1")
	n := openKeeper(ctx, t, dir)
	var ops []Op
	for seq := uint64(1); seq <= 60 && ctx.Err() == nil; seq++ {
		op := asked(Write, "s", seq, fmt.Sprint("v", seq), OK, seq)
		op.Call, op.Return = ms(int(2*seq)), ms(int(2*seq+1))
		result, err := n.Propose(ctx, fsm.Header{Session: "s", Seq: seq, Acked: seq - 1}, &fsm.PutSection{ID: "i", Section: "k", Data: []byte(op.Value)})
		if err != nil || string(result.Data) != fmt.Sprint(seq) {
			t.Fatalf("put %d: %v, %+v", seq, err, result)
		}
		if ops = append(ops, op); seq == 50 { // what the first snapshot holds is compacted when there is a second
			for len(snapshotsOf(t, dir)) < 2 && ctx.Err() == nil {
				if _, err := n.Propose(ctx, fsm.Header{}, &fsm.PutSection{ID: "i", Section: "other"}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if _, err := ReadRaftLog(dir); !errors.Is(err, ErrRunning) {
		t.Errorf("while it runs: %v", err)
	}
	if err := n.Close(ctx); err != nil {
		t.Fatal(err)
	}
	want := n.State()
	got, err := Replay(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Hash() != want.Hash() {
		t.Errorf("replayed to %d, section %+v; the keeper was at %d, %+v", got.Index(), got.Section("i", "k"), want.Index(), want.Section("i", "k"))
	}
	l, err := ReadRaftLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Snapshots) == 0 || l.First() == 1 || l.Member != n.ID() {
		t.Errorf("member %s of %s, %d snapshots, entries from %d: nothing was compacted", l.Member, n.ID(), len(l.Snapshots), l.First())
	}
	m, err := Merge(l)
	if err != nil {
		t.Fatal(err)
	}
	wantOK(t, InLog(ops, m))
	wantOK(t, Linearizable(Resolve(ops, m), LinearizableOptions{}))
	wantOK(t, Counter(ops, m, map[string]uint64{"i/k": 60}))
	wantOK(t, SameState([]string{dir, dir}))
}

func snapshotsOf(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, snapshotsDir, "*", "meta.json"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(path string) bool { return strings.Contains(path, ".tmp") })
}
