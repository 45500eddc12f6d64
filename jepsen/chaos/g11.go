package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/jepsen/fault/disk"
	"github.com/zerokeeper/zero/jepsen/fleet"
)

func init() {
	register(&Scenario{
		Name: "G11", Title: "a set, and damaged files of one keeper", Invariants: "I13 I2 I3 I14",
		Nodes: 3, AlsoNodes: []int{5}, Fabric: bridged, Args: smallLogs, Quiet: damageLines, Limit: 150 * time.Second,
		Play: func(ctx context.Context, r *Run) error {
			all := []nemesis{
				damaged(bitInLogValue, mustRefuse), damaged(bitInLog, mayBear), damaged(logCut, mustRefuse), damaged(logEmpty, mustRefuse),
				damaged(logPageZeroed, mayBear), damaged(oldChunkOfLog, mayBear), damaged(bitInSnapshot, mayBear), damaged(bitInSnapshotMeta, mayBear),
				damaged(bitInIdentity, mayBear), damaged(foreignDirectory, mustRefuse), damaged(olderDirectory, mustRefuse), damaged(wipedLog, mustRefuse),
			}
			return r.playSet(ctx, all, pace{on: 200 * time.Millisecond, off: 1100 * time.Millisecond})
		},
	})
}

// damageLines are what a keeper may say that finds its files damaged, and what
// the others say of it.
var damageLines = []string{`a file is damaged`, `data directory refused`, `the group refuses this keeper`, `a log entry is damaged`, `a snapshot is damaged`, `CRC checksum failed`}

// damage is a way to spoil the files of a keeper that is stopped.
type damage struct {
	name  string
	spoil func(r *Run, rand *rand.Rand, n *Node) (string, error)
}

// What the keeper must do when it is started on damaged files.
type demand int

const (
	mayBear    demand = iota // refuse to start, or come to the state of the others
	mustRefuse               // refuse to start
)

const (
	logFile    = "raft.db"
	startTime  = 8 * time.Second // for a keeper to refuse, or to be ready
	olderName  = "older"
	bitsOfRaft = 4096 // raft.db is damaged behind its two meta pages
)

var (
	bitInLogValue = damage{"bit flipped in a log value", func(r *Run, rand *rand.Rand, n *Node) (string, error) {
		value, err := r.newestElement(n)
		if err != nil {
			return "", err
		}
		return disk.FlipIn(filepath.Join(n.Data(), logFile), []byte(value), disk.Every, rand)
	}}
	bitInLog = damage{"bit flipped in the log file", func(_ *Run, rand *rand.Rand, n *Node) (string, error) {
		path := filepath.Join(n.Data(), logFile)
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		return disk.FlipBit(path, bitsOfRaft+rand.Int64N(info.Size()-bitsOfRaft), uint(rand.IntN(8)))
	}}
	logCut = damage{"log file cut", func(_ *Run, rand *rand.Rand, n *Node) (string, error) {
		path := filepath.Join(n.Data(), logFile)
		return disk.Truncate(path, 4096*(2+rand.Int64N(2)))
	}}
	logEmpty = damage{"log file emptied", func(_ *Run, _ *rand.Rand, n *Node) (string, error) {
		return disk.Empty(filepath.Join(n.Data(), logFile))
	}}
	wipedLog = damage{"log file lost", func(_ *Run, _ *rand.Rand, n *Node) (string, error) {
		path := filepath.Join(n.Data(), logFile)
		return "removed " + path, os.Remove(path)
	}}
	logPageZeroed = damage{"page of the log file zeroed", func(_ *Run, rand *rand.Rand, n *Node) (string, error) {
		path := filepath.Join(n.Data(), logFile)
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		var text string
		for range 64 { // a page that is zero already is no damage
			page := 2 + rand.Int64N(info.Size()/4096-2)
			if text, err = disk.ZeroRange(path, page*4096, 4096); !errors.Is(err, disk.ErrVoid) {
				return text, err
			}
		}
		return text, err
	}}
	oldChunkOfLog = damage{"older chunk in the log file", func(r *Run, rand *rand.Rand, n *Node) (string, error) {
		path, older := filepath.Join(n.Data(), logFile), filepath.Join(r.older(n), logFile)
		info, err := os.Stat(older)
		if err != nil {
			return "", err
		}
		var text string
		for range 64 {
			page := rand.Int64N(info.Size() / 4096)
			if text, err = disk.OldChunk(path, older, page*4096, 4096); !errors.Is(err, disk.ErrVoid) {
				return text, err
			}
		}
		return text, err
	}}
	bitInSnapshot     = damage{"bit flipped in a snapshot", snapshotBit("state.bin")}
	bitInSnapshotMeta = damage{"bit flipped in a snapshot's description", snapshotBit("meta.json")}
	bitInIdentity     = damage{"bit flipped in the identity", func(_ *Run, rand *rand.Rand, n *Node) (string, error) {
		return flipAnywhere(filepath.Join(n.Data(), "identity.json"), rand)
	}}
	foreignDirectory = damage{"another keeper's directory", func(r *Run, _ *rand.Rand, n *Node) (string, error) {
		other := r.Quorum.members()[(n.index+1)%r.Nodes]
		r.hush.Lock() // so that it can be copied while its keeper runs
		defer r.hush.Unlock()
		// Its keeper runs and may write meanwhile: a copy that is not quite what it
		// was taken from is another's all the same.
		if _, err := disk.ReplaceTree(n.Data(), other.Data()); err != nil && !errors.Is(err, disk.ErrVoid) {
			return "", err
		}
		return "put a copy of " + other.Data() + " in the place of " + n.Data(), nil
	}}
	olderDirectory = damage{"older copy of the directory", func(r *Run, _ *rand.Rand, n *Node) (string, error) {
		return disk.ReplaceTree(n.Data(), r.older(n))
	}}
)

// snapshotBit damages a file of the newest snapshot.
func snapshotBit(file string) func(*Run, *rand.Rand, *Node) (string, error) {
	return func(_ *Run, rand *rand.Rand, n *Node) (string, error) {
		paths, err := filepath.Glob(filepath.Join(n.Data(), "snapshots", "*", file))
		if err != nil || len(paths) == 0 {
			return "", fmt.Errorf("%s has no snapshot: %w", n.Name(), errors.Join(err, disk.ErrVoid))
		}
		return flipAnywhere(paths[len(paths)-1], rand)
	}
}

func flipAnywhere(path string, rand *rand.Rand) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return disk.FlipBit(path, rand.Int64N(info.Size()), uint(rand.IntN(8)))
}

// older is where an older copy of a keeper's directory is kept.
func (r *Run) older(n *Node) string { return n.mount + "." + olderName }

// newestElement is a value that is in the keeper's log, behind its snapshot.
func (r *Run) newestElement(n *Node) (string, error) {
	log, err := check.ReadRaftLog(n.Data())
	if err != nil {
		return "", err
	}
	for i := len(log.Entries) - 1; i >= 0; i-- {
		if value, ok := elementOf(log.Entries[i]); ok {
			return value, nil
		}
	}
	return "", fmt.Errorf("no element in the log of %s: %w", n.Name(), disk.ErrVoid)
}

// elementOf is the element that an entry of the log adds.
func elementOf(e check.Entry) (string, bool) {
	put, ok := e.Command.(*fsm.PutSection)
	if !ok || put.ID != setID {
		return "", false
	}
	return string(put.Data), true
}

// damaged stops a follower, spoils its files and starts it. A keeper that comes
// up must have the others' state. One that refuses must say what to do, without
// a panic, and what it says is done: the member is removed, the directory deleted,
// and it joins as a new one.
func damaged(d damage, want demand) nemesis {
	return nemesis{name: d.name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		picked, err := aFollower(ctx, r, rand)
		if err != nil {
			return err
		}
		n := picked[0]
		id, err := r.memberID(ctx, n)
		if err != nil {
			return err
		}
		if err := r.keepOlder(ctx, n); err != nil {
			return err
		}
		wait(ctx, on) // entries that the older copy lacks
		if err := n.Stop(ctx); err != nil {
			return err
		}
		what, err := d.spoil(r, rand, n)
		if err != nil {
			return err
		}
		r.Timeline.Inject(d.name, "%s: %s", n.Name(), what)
		refused, err := r.startDamaged(ctx, n)
		if err != nil {
			return err
		}
		r.judgeDamage(ctx, n, d, want, refused)
		if refused != "" {
			return r.rejoin(ctx, n, id)
		}
		return nil
	}}
}

// keepOlder restarts a keeper once, and keeps what it had before.
func (r *Run) keepOlder(ctx context.Context, n *Node) error {
	if err := n.Stop(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(r.older(n)); err != nil {
		return err
	}
	if _, err := disk.CopyTree(r.older(n), n.Data()); err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := fleet.Eventually(ctx, 20*time.Millisecond, n.ready); err != nil {
		return err
	}
	// The group must know of this start: an older copy is told by their number.
	return fleet.Eventually(ctx, 50*time.Millisecond, func(ctx context.Context) error { return r.recordedStart(ctx, n) })
}

// recordedStart is nil when the group knows of the keeper's present start: the
// keeper says that it is a member and up to date only then.
func (r *Run) recordedStart(ctx context.Context, n *Node) error {
	status, err := r.Quorum.status(ctx, n)
	if err != nil {
		return err
	}
	if !status.Recorded {
		return fmt.Errorf("the group does not know yet that %s was started", n.Name())
	}
	return nil
}

// startDamaged starts a keeper and waits until it refuses, which is answered with
// the end of its log, or is ready.
func (r *Run) startDamaged(ctx context.Context, n *Node) (refused string, err error) {
	n.ExpectEnd()
	if err := n.Start(ctx); err != nil && n.Running() {
		return "", err
	}
	n.ExpectEnd()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	err = fleet.Eventually(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		if !n.Running() {
			return nil
		}
		return n.ready(ctx)
	})
	if !n.Running() {
		return n.LogTail(1), nil
	}
	if err != nil {
		r.Timeline.Note("%s neither refused nor was ready: %v", n.Name(), err)
	}
	return "", nil
}

// judgeDamage compares what the keeper did with what it should.
func (r *Run) judgeDamage(ctx context.Context, n *Node, d damage, want demand, refused string) {
	if refused != "" {
		_, why, _ := strings.Cut(refused, "error=")
		r.Timeline.Bite(d.name, fmt.Sprintf("%s refused: %.200s", n.Name(), strings.TrimPrefix(strings.TrimSpace(why), `"a restart will not help: `)))
		return
	}
	if want == mustRefuse {
		r.Violation("I13: %s started on damaged files (%s)", n.Name(), d.name)
		return
	}
	r.hush.Lock() // states are compared at one index
	defer r.hush.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if _, err := r.Quorum.agree(ctx); err != nil && strings.Contains(err.Error(), "I3") {
		r.Violation("I13: %s, %s: %v", n.Name(), d.name, err)
		return
	}
	// Free pages and trailing entries bear damage; that it was there is known.
	r.Timeline.Bite(d.name, n.Name()+" bore it: its state is that of the others")
}
