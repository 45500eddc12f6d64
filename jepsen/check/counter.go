package check

import (
	"cmp"
	"slices"

	"github.com/zerokeeper/zero/fsm"
)

// Counter checks I10 on writes that each raise the version of their key by one. ops holds every attempt; final is the version of
// each key after the run; log is the merged log, or nil.
//
//   - acknowledged writes ≤ final version ≤ acknowledged + unknown ones, each write counted once however often tried;
//   - all answers to one session and sequence are the same;
//   - no two acknowledged writes of a key were given the same version, and none one above the final;
//   - in the log, replayed, each session and sequence has at most one effect, and no key's final version is higher than
//     what the log leads to.
func Counter(ops []Op, log *RaftLog, final map[string]uint64) Verdict {
	f := newFinding()
	sameAnswers(f, ops)
	var writes []Op
	for _, op := range Fold(ops) {
		if op.Mutates() {
			writes = append(writes, op)
		}
	}
	acked, unknown := 0, 0
	keys := byKey(writes)
	for _, key := range sorted(keys) {
		a, u := countKey(f, key, keys[key], final)
		acked += a
		unknown += u
	}
	f.stat("attempts", len(ops))
	f.stat("acked", acked)
	f.stat("unknown", unknown)
	if acked == 0 {
		f.undecided("no write was acknowledged")
	}
	if log != nil {
		countLog(f, log, final)
	}
	return f.verdict()
}

// sameAnswers compares all answers to each write.
func sameAnswers(f *finding, ops []Op) {
	first := make(map[opName]Op)
	retried := 0
	for _, op := range ops {
		if op.Session == "" || !op.Mutates() || !op.Acked() {
			continue
		}
		before, ok := first[op.name()]
		if !ok {
			first[op.name()] = op
			continue
		}
		retried++
		if op.Outcome != before.Outcome || op.GotVersion != before.GotVersion {
			f.problem("two answers to one write: %v; %v", before, op)
		}
	}
	f.stat("answeredAgain", retried)
}

// countKey holds the final version of one key against its writes.
func countKey(f *finding, key string, writes []Op, final map[string]uint64) (acked, unknown int) {
	version, read := final[key]
	given := make(map[uint64]Op)
	for _, op := range writes {
		switch op.Outcome {
		case Unknown:
			unknown++
		case OK:
			acked++
			if op.GotVersion == 0 {
				continue
			}
			if other, ok := given[op.GotVersion]; ok {
				f.problem("two writes were given one version: %v; %v", other, op)
			}
			given[op.GotVersion] = op
			if read && op.GotVersion > version {
				f.problem("%v: the final version of the key is %d", op, version)
			}
		}
	}
	switch low, high := uint64(acked), uint64(acked+unknown); {
	case !read:
		f.undecided("key %s: its final version was not read", key)
	case version < low:
		f.problem("key %s: %d writes were acknowledged, the final version is %d: %d are lost", key, low, version, low-version)
	case version > high:
		f.problem("key %s: %d writes were acknowledged and %d are unknown, the final version is %d: some were done more than once", key, low, unknown, version)
	}
	return acked, unknown
}

// countLog holds the log against the rule, and the final versions against the log.
func countLog(f *finding, log *RaftLog, final map[string]uint64) {
	r, err := log.Replay()
	if err != nil {
		f.undecided("%v", err)
		return
	}
	effects := make(map[opName][]Applied)
	versions := make(map[string]uint64)
	for _, a := range r.Applied {
		put, ok := a.Command.(*fsm.PutSection)
		if !ok || !a.Effect() {
			continue
		}
		if version, err := putVersion(a.Result); err != nil {
			f.problem("%v", err)
		} else {
			versions[SectionKey(put.ID, put.Section)] = version
		}
		if name := (opName{a.Header.Session, a.Header.Seq}); a.Header.Session != "" {
			effects[name] = append(effects[name], a)
		}
	}
	names := make([]opName, 0, len(effects))
	for name, list := range effects {
		if len(list) > 1 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b opName) int { return cmp.Or(cmp.Compare(a.session, b.session), cmp.Compare(a.seq, b.seq)) })
	for _, name := range names {
		f.problem("%v has %d effects in the log: %v; %v", name, len(effects[name]), effects[name][0].Entry, effects[name][1].Entry)
	}
	for _, key := range sorted(final) {
		version, ok := versions[key]
		if (ok || r.Base == nil) && final[key] > version {
			f.problem("key %s: the final version is %d, the log leads to %d", key, final[key], version)
		}
	}
}
