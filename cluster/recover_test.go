package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// poison is a whole entry of a command that no version knows.
func poison(t *testing.T) []byte {
	t.Helper()
	entry, err := fsm.Encode(fsm.Header{Time: 1}, &fsm.PutSection{ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint16(entry[1:], 0xffff)
	sum := crc32.Update(crc32.Update(0, castagnoli, entry[:5]), castagnoli, entry[9:])
	binary.LittleEndian.PutUint32(entry[5:], sum)
	return entry
}

// offline opens the directory of a stopped node.
func offline(t *testing.T, n *Node, write bool) *Offline {
	t.Helper()
	o, err := OpenOffline(n.cfg.DataDir, write, nil)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func mustClose(t *testing.T, o *Offline) {
	t.Helper()
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}

// haltedGroup is a group whose keepers all have an entry at which they halt, and
// are stopped.
func haltedGroup(t *testing.T, entry []byte) (f *fleet, nodes []*Node, index uint64) {
	f = newFleet(t)
	nodes = f.group(3)
	leader := f.leader(nodes...)
	for i := range 5 {
		f.mustPut(fmt.Sprint(i), "v")
	}
	index = leader.raft.LastIndex() + 1
	if err := rawEntry(t.Context(), leader, entry); err != nil {
		t.Log(err) // the leader may be gone before it answers
	}
	f.eventually("two of three halt", func() bool {
		halted := 0
		for _, n := range nodes {
			if n.usable() != nil {
				halted++
			}
		}
		return halted >= 2
	})
	for _, n := range nodes {
		f.crash(n)
	}
	return f, nodes, index
}

// An entry at which every keeper halts is stepped over on each of them. They
// come up equal, with the cluster epoch raised by one.
func TestSkipPoisonEntry(t *testing.T) {
	t.Parallel()
	f, nodes, _ := haltedGroup(t, poison(t))
	var index uint64
	var replaced []raft.Log
	for _, n := range nodes {
		o := offline(t, n, true)
		was := o.Inspect()
		if was.HaltsAt == 0 {
			mustClose(t, o) // the entry did not reach this one
			continue
		}
		index = was.HaltsAt
		if was.Epoch != 0 || len(was.Problems) != 1 || !strings.Contains(was.Problems[0], "halts") || len(was.Configuration) != 3 {
			t.Errorf("inspected: %+v", was)
		}
		for _, wrong := range []uint64{index - 1, index + 1, 1 << 40} {
			if _, err := o.Skip(wrong, true); !errors.Is(err, ErrRecovery) {
				t.Errorf("skipping entry %d of a log that halts at %d: %v", wrong, index, err)
			}
		}
		if r, err := o.Skip(index, false); err != nil || r.Backup != "" || o.Inspect().HaltsAt != index {
			t.Errorf("a dry run: %+v, %v", r, err)
		}
		r, err := o.Skip(index, true)
		if err != nil || r.Epoch != 1 || r.Next != "" || fileIsThere(r.Backup) != nil {
			t.Fatalf("skip: %+v, %v", r, err)
		}
		var e raft.Log
		if err := o.logs.GetLog(index, &e); err != nil || e.Term != r.Term || e.Type != raft.LogCommand {
			t.Errorf("entry %d is %+v, %v", index, e, err)
		}
		replaced = append(replaced, e)
		if now := o.Inspect(); now.HaltsAt != 0 || now.Epoch != 1 || len(now.Problems) != 0 {
			t.Errorf("after it: %+v", now)
		}
		if _, err := o.Skip(index, true); !errors.Is(err, ErrRecovery) || !strings.Contains(err.Error(), "nothing") {
			t.Errorf("skipping again: %v", err)
		}
		mustClose(t, o)
	}
	if len(replaced) < 2 {
		t.Fatalf("%d keepers had the entry", len(replaced))
	}
	for _, e := range replaced[1:] {
		if string(e.Data) != string(replaced[0].Data) || e.Term != replaced[0].Term || e.Index != replaced[0].Index {
			t.Errorf("%+v and %+v differ", e, replaced[0])
		}
	}
	for i, n := range nodes {
		nodes[i] = f.restart(n)
	}
	f.ready(nodes...)
	f.mustPut("after", "1")
	f.eventually("all are equal", func() bool {
		h := nodes[0].State().Hash()
		return get(nodes[0].State(), "after") == "1" && h == nodes[1].State().Hash() && h == nodes[2].State().Hash()
	})
	if s := nodes[0].State(); s.Epoch() != 1 || get(s, "4") != "v" {
		t.Errorf("epoch %d, section 4 is %q", s.Epoch(), get(s, "4"))
	}
}

// An entry whose own checksum was wrong when it was proposed is refused at the
// start, with how to step over it.
func TestSkipNonsense(t *testing.T) {
	t.Parallel()
	entry := poison(t)
	entry[len(entry)-1] ^= 0x10
	f, nodes, index := haltedGroup(t, entry)
	for _, n := range nodes {
		_, err := f.open(f.again(n))
		if err == nil {
			continue // it did not get the entry
		}
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "recover --skip") {
			t.Fatalf("started with %v", err)
		}
		var at uint64
		if _, err := fmt.Sscanf(err.Error()[strings.Index(err.Error(), "--skip "):], "--skip %d", &at); err != nil {
			t.Fatal(err)
		}
		o := offline(t, n, true)
		if r, err := o.Skip(at, true); err != nil || at < index {
			t.Fatalf("skip %d: %+v, %v", at, r, err)
		}
		if in := o.Inspect(); len(in.Problems) != 0 {
			t.Errorf("after it: %v", in.Problems)
		}
		mustClose(t, o)
		f.mustOpen(f.again(n))
	}
	f.mustPut("after", "1")
}

func fileIsThere(path string) error {
	_, err := os.Stat(path)
	return err
}

// The last keeper of a group goes on alone, with everything in its log.
func TestRecoverAlone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup = func(_ string, c *Config) {
		c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 20, 20*time.Millisecond, 5
	}
	nodes := f.group(3)
	for i := range 50 {
		f.mustPut(fmt.Sprint(i), "v")
	}
	leader := f.leader(nodes...)
	last := others(nodes, leader)[0]
	f.eventually("it has everything", func() bool { return last.State().Hash() == leader.State().Hash() })
	f.crash(last)
	if _, err := OpenOffline(leader.cfg.DataDir, true, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("a directory in use: %v", err)
	}

	o := offline(t, last, true)
	if _, err := o.Alone(t.Context(), f.peers, true); !errors.Is(err, ErrRecovery) || !strings.Contains(err.Error(), "majority") {
		t.Errorf("alone beside two others: %v", err)
	}
	f.crash(leader)
	if _, err := o.Alone(t.Context(), f.peers, true); !errors.Is(err, ErrRecovery) || !strings.Contains(err.Error(), "majority") {
		t.Errorf("alone beside another: %v", err)
	}
	f.crash(others(nodes, leader)[1])
	r, err := o.Alone(t.Context(), f.peers, false)
	if err != nil || r.Backup != "" || len(r.Others) != 2 {
		t.Errorf("a dry run: %+v, %v", r, err)
	}
	if r, err = o.Alone(t.Context(), f.peers, true); err != nil || fileIsThere(r.Backup) != nil {
		t.Fatalf("alone: %+v, %v", r, err)
	}
	if in := o.Inspect(); len(in.Problems) != 0 || len(in.Configuration) != 1 || in.Epoch != 1 || in.First != r.Index || in.Last != r.Index {
		t.Errorf("after it: %+v", in)
	}
	mustClose(t, o)
	last = f.restart(last)
	f.ready(last)
	f.mustPut("after", "1")
	if s := last.State(); s.Epoch() != 1 || get(s, "49") != "v" || len(last.Members()) != 1 {
		t.Errorf("epoch %d, section 49 is %q, %d members", s.Epoch(), get(s, "49"), len(last.Members()))
	}
}

func TestOfflineRefuses(t *testing.T) {
	empty := t.TempDir()
	if _, err := OpenOffline(empty, false, nil); !errors.Is(err, ErrDirectory) {
		t.Errorf("an empty directory: %v", err)
	}
	f := newFleet(t)
	n := f.mustOpen(f.config("k1", 1))
	f.ready(n)
	f.close(n)
	foreign := filepath.Join(t.TempDir(), "k")
	if err := os.CopyFS(foreign, os.DirFS(n.cfg.DataDir)); err != nil {
		t.Fatal(err)
	}
	if err := writeIdentity(foreign, newIdentity("k2")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOffline(foreign, false, nil); !errors.Is(err, ErrForeign) {
		t.Errorf("another's log: %v", err)
	}
	o := offline(t, n, false)
	defer o.Close()
	other := offline(t, n, false) // two may look
	mustClose(t, other)
	if _, err := OpenOffline(n.cfg.DataDir, true, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("changing what another looks at: %v", err)
	}
	if _, err := o.Skip(2, true); !errors.Is(err, ErrRecovery) {
		t.Errorf("skipping in a log that is right: %v", err)
	}
	if in := o.Inspect(); len(in.Problems) != 0 || in.StateHash == "" || in.Term == 0 || in.Vote == "" || in.Entries == 0 {
		t.Errorf("inspected: %+v", in)
	}
	// Nobody answers for a group of one.
	if _, err := o.lost(t.Context(), nobody{}, raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(o.id.MemberID), Suffrage: raft.Voter}}}); err != nil {
		t.Errorf("a group of one: %v", err)
	}
}

type nobody struct{ Peers }

func (nobody) Discover(context.Context, string, api.KeeperDiscoverRequest) (api.KeeperDiscoverAnswer, error) {
	return api.KeeperDiscoverAnswer{}, errCut
}
