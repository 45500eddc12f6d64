package check

import "github.com/zerokeeper/zero/fsm"

// Resolve gives writes of unknown outcome the one that the merged log says. Attempts are folded.
//
//   - One that is among the decided entries has the outcome and version that replaying them gives, and a Return of
//     Forever: it was done at some time after its call.
//   - One that is in no log is left out, if the log reaches back to the first entry: it was never done.
//   - One that is only in the Tail, or that may have been compacted, stays Unknown.
//
// Reads of unknown outcome are left out; all else stays as it is. A log that cannot be replayed resolves nothing.
func Resolve(ops []Op, log *RaftLog) []Op {
	replayed, err := log.Replay()
	if err != nil {
		replayed = nil
	}
	folded := Fold(ops)
	out := make([]Op, 0, len(folded))
	for _, op := range folded {
		if op.Outcome == Unknown {
			if !op.Mutates() {
				continue
			}
			if op.Session != "" && replayed != nil {
				var keep bool
				if op, keep = resolve(op, log, replayed); !keep {
					continue
				}
			}
			op.Return = Forever
		}
		out = append(out, op)
	}
	return out
}

// resolve is the write with its outcome, and whether it may have been done at all.
func resolve(op Op, log *RaftLog, r *Replayed) (Op, bool) {
	result, ok := r.answer(op.name())
	switch {
	case !ok:
		return op, r.Base != nil || log.inTail(op.name())
	case result.Code == 0:
		op.Outcome, op.Return = OK, Forever
		if version, err := putVersion(result); err == nil {
			op.GotVersion = version
		}
	case result.Code == fsm.CodeConflict:
		op.Outcome, op.Return = Refused, Forever
	default: // refused whatever the section held; an entry that was compacted may have done it
		return op, r.Base != nil
	}
	return op, true
}

func (l *RaftLog) inTail(name opName) bool {
	for _, e := range l.Tail {
		if e.Header.Session == name.session && e.Header.Seq == name.seq {
			return true
		}
	}
	return false
}

// InLog compares what clients were told about their writes with the merged log: an acknowledged write is among the decided
// entries, with the key, value, outcome and version that the client saw; a failed one had no effect. Writes
// without a session cannot be found in a log and are only counted, so are acknowledged ones that may have been compacted.
func InLog(ops []Op, log *RaftLog) Verdict {
	f := newFinding()
	r, err := log.Replay()
	if err != nil {
		f.undecided("%v", err)
		return f.verdict()
	}
	found, compacted, nameless := 0, 0, 0
	for _, op := range Fold(ops) {
		if !op.Mutates() || op.Outcome == Unknown {
			continue
		}
		if op.Session == "" {
			nameless++
			continue
		}
		result, ok := r.answer(op.name())
		switch {
		case op.Outcome == Failed:
			if a := r.Find(op.Session, op.Seq); a != nil && a.Effect() {
				f.problem("%v: it was said to have failed, but %v did it", op, a.Entry)
			}
		case !ok && log.inTail(op.name()):
			f.problem("%v: acknowledged, but not decided: only some keeper that could be elected has it", op)
		case !ok && r.Base != nil:
			compacted++
		case !ok:
			f.problem("%v: acknowledged, but in no log", op)
		default:
			found++
			compareAnswer(f, op, result)
			if a := r.Find(op.Session, op.Seq); a != nil {
				compareCommand(f, op, a)
			}
		}
	}
	f.stat("found", found)
	f.stat("compacted", compacted)
	f.stat("withoutSession", nameless)
	f.stat("entries", len(r.Applied))
	return f.verdict()
}

// compareAnswer compares what the client was told with what the machine answers.
func compareAnswer(f *finding, op Op, result fsm.Result) {
	switch {
	case op.Outcome == OK && result.Code != 0, op.Outcome == Refused && result.Code != fsm.CodeConflict:
		f.problem("%v: the log's answer is code %d %s", op, result.Code, result.Msg)
	case op.Outcome == OK && op.GotVersion != 0:
		if version, err := putVersion(result); err != nil {
			f.problem("%v: %v", op, err)
		} else if version != op.GotVersion {
			f.problem("%v: the log's answer is version %d", op, version)
		}
	}
}

// compareCommand compares what the client asked with the command in the log.
func compareCommand(f *finding, op Op, a *Applied) {
	put, ok := a.Command.(*fsm.PutSection)
	switch {
	case !ok:
		f.problem("%v: in the log it is %v", op, a.Entry)
	case SectionKey(put.ID, put.Section) != op.Key || string(put.Data) != op.Value || put.Compare != (op.Kind == CAS) || put.Version != op.Version:
		f.problem("%v: in the log it is %v with key %s, %d bytes, compare %v, version %d", op, a.Entry, SectionKey(put.ID, put.Section), len(put.Data), put.Compare, put.Version)
	}
}
