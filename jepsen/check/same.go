package check

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
)

// SameLog checks I3 on the logs of keepers that had all caught up when they were stopped: up to the lowest last index
// they have the same entries, wherever two of them have any. The first difference of each two is a problem. A healed run
// ends so; for logs that may end in entries that were never committed use [Merge].
func SameLog(logs ...*RaftLog) Verdict {
	f := newFinding()
	sameLog(f, logs)
	return f.verdict()
}

func sameLog(f *finding, logs []*RaftLog) {
	if len(logs) < 2 {
		f.undecided("%d logs: want two or more to compare", len(logs))
		return
	}
	lowest, highest := uint64(math.MaxUint64), uint64(0)
	for _, l := range logs {
		last, _ := l.Last()
		lowest, highest = min(lowest, last), max(highest, last)
	}
	compared := 0
	for i, a := range logs {
		for _, b := range logs[i+1:] {
			compared += sameEntries(f, a, b, lowest)
		}
	}
	f.stat("lowestLast", lowest)
	f.stat("highestLast", highest)
	f.stat("compared", compared)
	if lowest == 0 {
		f.undecided("a log is empty")
	}
}

// sameEntries compares two logs up to an index and returns how many entries it compared.
func sameEntries(f *finding, a, b *RaftLog, upTo uint64) int {
	compared := 0
	for _, x := range a.Entries {
		y := b.Entry(x.Index)
		if x.Index > upTo || y == nil {
			continue
		}
		compared++
		if !x.same(*y) {
			f.problem("%s has %v where %s has %v, and they differ", a.Name, x, b.Name, *y)
			return compared
		}
	}
	for _, s := range b.Snapshots {
		if e := a.Entry(s.Index); e != nil && s.Index <= upTo && e.Term != s.Term {
			f.problem("%s has %v where %s has a snapshot of term %d", a.Name, *e, b.Name, s.Term)
			return compared
		}
	}
	return compared
}

// SameState checks I3 on the data directories of keepers that were stopped after all had caught up: [SameStates] on
// their logs. One that cannot be read decides nothing.
func SameState(dirs []string) Verdict {
	f := newFinding()
	logs := make([]*RaftLog, 0, len(dirs))
	for _, dir := range dirs {
		l, err := ReadRaftLog(dir)
		if err != nil {
			f.undecided("%v", err)
			continue
		}
		l.Name = filepath.Base(filepath.Dir(dir)) + "/" + l.Name // keepers may call their directories the same
		logs = append(logs, l)
	}
	sameStates(f, logs)
	return f.verdict()
}

// SameStates checks I3 on the logs of keepers that were stopped after all had caught up. Each keeper's newest snapshot
// and log are played to the same index, the lowest last one, and the hashes of the states compared; before that, each
// snapshot is compared with what the keeper's own older ones and its log lead to, which finds a state that went wrong
// and was then compacted. SameLog is part of it.
func SameStates(logs ...*RaftLog) Verdict {
	f := newFinding()
	sameStates(f, logs)
	return f.verdict()
}

func sameStates(f *finding, logs []*RaftLog) {
	for _, l := range logs {
		if len(l.Damaged) > 0 {
			f.stat("damaged snapshots of "+l.Name, l.Damaged)
		}
	}
	if sameLog(f, logs); f.unknown {
		return
	}
	common := uint64(math.MaxUint64)
	for _, l := range logs {
		last, _ := l.Last()
		common = min(common, last)
		if err := l.checkSnapshots(f); err != nil {
			f.problem("%v", err)
		}
	}
	var reference []byte
	name := ""
	for _, l := range logs {
		hash, index, err := l.hashAt(common)
		switch {
		case err != nil:
			f.undecided("%v", err)
		case reference == nil:
			reference, name = hash, l.Name
			f.stat("index", index)
			f.stat("hash", fmt.Sprintf("%x", hash))
		case !bytes.Equal(hash, reference):
			f.problem("at index %d the state of %s has hash %x…, that of %s %x…", common, l.Name, hash[:8], name, reference[:8])
		}
	}
}

// checkSnapshots plays the log from its oldest state and compares it with each newer snapshot. An error means that the
// log cannot be played.
func (l *RaftLog) checkSnapshots(f *finding) error {
	p, err := l.oldest()
	if err != nil {
		return err
	}
	for _, s := range l.Snapshots {
		if last := l.First() + uint64(len(l.Entries)); s.Index <= p.at || s.Index >= last {
			continue
		}
		if err := p.advance(s.Index, nil); err != nil {
			return err
		}
		if got, want := p.machine.State().Hash(), s.State.Hash(); got != want {
			f.problem("%s: its snapshot %s has hash %x…, but its log leads to %x…", l.Name, s.ID, want[:8], got[:8])
		}
	}
	return nil
}

// hashAt is the hash of the keeper's state at a log index, and the index of the last command up to there.
func (l *RaftLog) hashAt(index uint64) ([]byte, uint64, error) {
	p, err := l.before(index)
	if err != nil {
		return nil, 0, err
	}
	if err := p.advance(index, nil); err != nil {
		return nil, 0, err
	}
	state := p.machine.State()
	hash := state.Hash()
	return hash[:], state.Index(), nil
}

// before begins with the newest snapshot that is not newer than index.
func (l *RaftLog) before(index uint64) (*player, error) {
	for i := len(l.Snapshots) - 1; i >= 0; i-- {
		if s := &l.Snapshots[i]; s.Index <= index && (l.First() == 0 || s.Index+1 >= l.First()) {
			return l.from(s)
		}
	}
	if p, err := l.oldest(); err == nil && p.at <= index {
		return p, nil
	}
	return nil, fmt.Errorf("%s cannot be compared at index %d, where another keeper ends: it has compacted that. Let all catch up before they are stopped", l.Name, index)
}
