package sim

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/zerokeeper/zero/cluster"
	"github.com/zerokeeper/zero/fsm"
)

// hashEvery is at how many entries each node's state is hashed and compared.
const hashEvery = 64

// entry is one entry of the log as the first node applied it.
type entry struct {
	term   uint64
	data   []byte
	header fsm.Header
	value  string // of a client's operation
	result fsm.Result
	state  *fsm.State
	first  int64 // when it was applied first
}

// recorder holds what all nodes applied against each other, and knows what
// became of the operations whose outcome no client was told.
type recorder struct {
	clock   *atomic.Int64
	violate func(invariant, format string, args ...any)

	mu      sync.Mutex
	entries map[uint64]*entry
	effects map[string][]uint64     // value → indexes of the entries that did it
	replies map[sequence]fsm.Result // of sessions
	leaders map[uint64]string       // term → who acted as its leader
	loaded  int                     // snapshots that were restored
	top     uint64                  // highest index applied
	hashes  map[uint64][32]byte     // index → hash of the first node's state
}

type sequence struct {
	session string
	seq     uint64
}

func newRecorder(clock *atomic.Int64, violate func(invariant, format string, args ...any)) *recorder {
	return &recorder{
		clock: clock, violate: violate,
		entries: make(map[uint64]*entry), effects: make(map[string][]uint64), replies: make(map[sequence]fsm.Result),
		leaders: make(map[uint64]string), hashes: make(map[uint64][32]byte),
	}
}

// witness is a state machine that tells the recorder what it does.
type witness struct {
	machine *fsm.Machine
	rec     *recorder
	who     string
}

var _ cluster.Machine = (*witness)(nil)

func (w *witness) State() *fsm.State { return w.machine.State() }

func (w *witness) Apply(index, term uint64, data []byte) (fsm.Result, error) {
	result, err := w.machine.Apply(index, term, data)
	if err == nil {
		w.rec.applied(w.who, index, term, data, result, w.machine.State())
	}
	return result, err
}

func (w *witness) Restore(r io.Reader) error {
	err := w.machine.Restore(r)
	if err == nil {
		w.rec.restored(w.who, w.machine.State())
	}
	return err
}

// applied compares an entry with what others applied at its index (I3).
func (r *recorder) applied(who string, index, term uint64, data []byte, result fsm.Result, state *fsm.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[index]
	if e == nil {
		r.record(index, term, data, result, state)
	} else {
		if e.term != term || !bytes.Equal(e.data, data) {
			r.violate("I3", "%s applied another entry at %d, of term %d, than others, of term %d", who, index, term, e.term)
		}
		if !same(e.result, result) {
			r.violate("I3", "%s answered entry %d with %+v, others with %+v", who, index, result, e.result)
		}
	}
	if index%hashEvery == 0 {
		r.compare(who, state)
	}
}

// record notes an entry that was applied for the first time.
func (r *recorder) record(index, term uint64, data []byte, result fsm.Result, state *fsm.State) {
	e := &entry{term: term, data: bytes.Clone(data), result: result, state: state, first: r.clock.Add(1)}
	r.entries[index] = e
	if previous := r.entries[r.top]; previous != nil && index > r.top && term < previous.term {
		r.violate("I3", "entry %d has term %d, entry %d before it %d", index, term, r.top, previous.term)
	}
	r.top = max(r.top, index)
	header, command, err := fsm.Decode(data)
	if err != nil {
		r.violate("I3", "entry %d was applied but cannot be decoded: %v", index, err)
		return
	}
	e.header, e.value = header, valueOf(command)
	if header.Term != 0 && header.Term != term && result.Code == 0 {
		r.violate("TERM", "entry %d of term %d did what the leader of term %d had decided", index, term, header.Term)
	}
	if e.value != "" && result.Code == 0 && result.Index == index {
		r.effects[e.value] = append(r.effects[e.value], index)
		if n := len(r.effects[e.value]); n > 1 {
			r.violate("I10", "%s happened %d times, at %v", e.value, n, r.effects[e.value])
		}
	}
	if header.Session != "" && result.Code != fsm.CodeSessionGone {
		key := sequence{header.Session, header.Seq}
		if before, ok := r.replies[key]; ok && !same(before, result) {
			r.violate("I10", "%s/%d was answered %+v first, then %+v", header.Session, header.Seq, before, result)
		}
		r.replies[key] = result
	}
}

// restored compares a restored state with what others had at its index (I3).
func (r *recorder) restored(who string, state *fsm.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loaded++
	if r.entries[state.Index()] != nil {
		r.compare(who, state)
	}
}

// compare holds a state's hash against the first one of its index.
func (r *recorder) compare(who string, state *fsm.State) {
	index := state.Index()
	want, ok := r.hashes[index]
	if e := r.entries[index]; !ok && e != nil {
		want = e.state.Hash()
		r.hashes[index] = want
	}
	if got := state.Hash(); got != want {
		r.violate("I3", "the state of %s at %d has the hash %x, others %x", who, index, got[:6], want[:6])
	}
}

// leads notes that somebody acted as the leader of a term; there is one at most.
func (r *recorder) leads(term uint64, who string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was, ok := r.leaders[term]; ok && was != who {
		r.violate("TERM", "%s and %s both acted as the leader of term %d", was, who, term)
	}
	r.leaders[term] = who
}

// acknowledged notes an answer to a proposal that was sent once: who answered
// led in the entry's term. in is the term that it was proposed in, 0 for any.
func (r *recorder) acknowledged(who string, in, index uint64) {
	r.mu.Lock()
	e := r.entries[index]
	r.mu.Unlock()
	switch {
	case e == nil:
		r.violate("I2", "%s acknowledged entry %d, which nobody applied", who, index)
	case in != 0 && e.term != in:
		r.violate("TERM", "%s was told that entry %d of term %d is done in term %d", who, index, e.term, in)
	default:
		r.leads(e.term, who)
	}
}

// outcome is the entry that did what an operation asked, nil when none did.
func (r *recorder) outcome(value string) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.effects[value]; len(at) > 0 {
		return r.entries[at[0]]
	}
	return nil
}

// terms counts the terms in which somebody led.
func (r *recorder) terms() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.leaders)
}

// restores counts the states that came from snapshots.
func (r *recorder) restores() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.loaded
}

func same(a, b fsm.Result) bool {
	return a.Index == b.Index && a.Code == b.Code && a.Msg == b.Msg && bytes.Equal(a.Data, b.Data)
}

// valueOf names a client's operation by what only it writes.
func valueOf(c fsm.Command) string {
	switch c := c.(type) {
	case *fsm.PutSection:
		return string(c.Data)
	case *fsm.PublishConfig:
		return c.ConfigID
	}
	return ""
}

// violation is one broken invariant.
type violation struct{ invariant, text string }

func (v violation) String() string { return fmt.Sprintf("%s: %s", v.invariant, v.text) }
