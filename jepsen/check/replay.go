package check

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
)

// Applied is a command of the log with the answer that the state machine gave it.
type Applied struct {
	Entry
	Result fsm.Result
}

// Retried reports whether the answer is that of an earlier entry of the same session and sequence.
func (a Applied) Retried() bool { return a.Result.Index != a.Index }

// Effect reports whether the entry may have changed anything.
func (a Applied) Effect() bool { return !a.Retried() && a.Result.Code == 0 }

// Replayed is a log played to a fresh state machine.
type Replayed struct {
	State   *fsm.State // at the end
	Base    *fsm.State // of the snapshot that it began with; nil when it began with the first entry
	Applied []Applied
	names   map[opName][]int // in Applied
}

// Replay plays a stopped keeper's snapshot and log, to the last entry that it has: of a run that ended healed that is
// the state it had.
func Replay(dataDir string) (*fsm.State, error) {
	l, err := ReadRaftLog(dataDir)
	if err != nil {
		return nil, err
	}
	r, err := l.Replay()
	if err != nil {
		return nil, err
	}
	return r.State, nil
}

// Replay plays the entries, from the first one if it is there, else from the oldest snapshot that they join on to.
func (l *RaftLog) Replay() (*Replayed, error) {
	p, err := l.oldest()
	if err != nil {
		return nil, err
	}
	r := &Replayed{names: make(map[opName][]int)}
	if p.at > 0 {
		r.Base = p.machine.State()
	}
	err = p.advance(math.MaxUint64, func(a Applied) {
		if a.Header.Session != "" {
			name := opName{a.Header.Session, a.Header.Seq}
			r.names[name] = append(r.names[name], len(r.Applied))
		}
		r.Applied = append(r.Applied, a)
	})
	r.State = p.machine.State()
	return r, err
}

// Find is the first entry of a write that had an effect, or else its first entry; nil when it is not among the Applied.
func (r *Replayed) Find(session string, seq uint64) *Applied {
	var found *Applied
	for _, i := range r.names[opName{session, seq}] {
		if a := &r.Applied[i]; found == nil || a.Effect() && !found.Effect() {
			found = a
		}
	}
	return found
}

// answer is what the write of that name was answered: by an entry, or by what the base remembers.
func (r *Replayed) answer(name opName) (fsm.Result, bool) {
	if a := r.Find(name.session, name.seq); a != nil {
		return a.Result, true
	}
	if r.Base != nil {
		return r.Base.Replied(name.session, name.seq)
	}
	return fsm.Result{}, false
}

// player plays a log to a machine.
type player struct {
	log     *RaftLog
	machine *fsm.Machine
	at      uint64 // raft's index
}

// oldest begins as early as the log allows.
func (l *RaftLog) oldest() (*player, error) {
	if l.First() == 1 || l.First() == 0 && len(l.Snapshots) == 0 {
		return &player{log: l, machine: fsm.New()}, nil
	}
	for i := range l.Snapshots {
		if s := &l.Snapshots[i]; l.First() == 0 && i == len(l.Snapshots)-1 || l.First() != 0 && s.Index+1 >= l.First() {
			return l.from(s)
		}
	}
	return nil, fmt.Errorf("replay %s: the log begins at %d and no snapshot joins on to it", l.Name, l.First())
}

// from begins with a snapshot.
func (l *RaftLog) from(s *Snapshot) (*player, error) {
	var buf bytes.Buffer
	if _, err := s.State.WriteTo(&buf); err != nil {
		return nil, fmt.Errorf("replay %s: %w", l.Name, err)
	}
	p := &player{log: l, machine: fsm.New(), at: s.Index}
	if err := p.machine.Restore(&buf); err != nil {
		return nil, fmt.Errorf("replay %s: snapshot %s: %w", l.Name, s.ID, err)
	}
	return p, nil
}

// advance applies the entries up to an index. An error means that a keeper would have halted there.
func (p *player) advance(upTo uint64, visit func(Applied)) error {
	first := p.log.First()
	if first == 0 {
		return nil
	}
	for i := max(p.at+1, first) - first; i < uint64(len(p.log.Entries)); i++ {
		e := p.log.Entries[i]
		if e.Index > upTo {
			break
		}
		p.at = e.Index
		if e.Type != raft.LogCommand {
			continue
		}
		result, err := p.machine.Apply(e.Index, e.Term, e.Data)
		if err != nil {
			return fmt.Errorf("replay %s: %w", p.log.Name, err)
		}
		if visit != nil {
			visit(Applied{Entry: e, Result: result})
		}
	}
	return nil
}

// putVersion is the version that a put was answered with.
func putVersion(r fsm.Result) (uint64, error) {
	version, err := strconv.ParseUint(string(r.Data), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the answer to the put at index %d is %q: want a version", r.Index, r.Data)
	}
	return version, nil
}
