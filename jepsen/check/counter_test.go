package check

import (
	"slices"
	"testing"

	"github.com/zerokeeper/zero/fsm"
)

func TestCounter(t *testing.T) {
	const key = "i/k"
	inc := func(seq uint64, outcome Outcome, version uint64) Op {
		return asked(Write, "s", seq, "+", outcome, version)
	}
	final := func(version uint64) map[string]uint64 { return map[string]uint64{key: version} }
	for _, c := range []struct {
		name  string
		ops   []Op
		final map[string]uint64
		want  string
	}{
		{"all acknowledged", []Op{inc(1, OK, 1), inc(2, OK, 2)}, final(2), ""},
		{"versions not told", []Op{inc(1, OK, 0), inc(2, OK, 0)}, final(2), ""},
		{"retried, answered the same", []Op{inc(1, Unknown, 0), inc(1, OK, 1), inc(1, OK, 1), inc(2, OK, 2)}, final(2), ""},
		{"unknown, done", []Op{inc(1, OK, 1), inc(2, Unknown, 0)}, final(2), ""},
		{"unknown, not done", []Op{inc(1, OK, 1), inc(2, Unknown, 0)}, final(1), ""},
		{"refused and failed count nothing", []Op{inc(1, OK, 1), inc(2, Refused, 0), inc(3, Failed, 0)}, final(1), ""},
		{"lost", []Op{inc(1, OK, 1), inc(2, OK, 0)}, final(1), "1 are lost"},
		{"done twice", []Op{inc(1, OK, 1), inc(2, OK, 2)}, final(3), "more than once"},
		{"unknown, done twice", []Op{inc(1, OK, 1), inc(2, Unknown, 0)}, final(3), "more than once"},
		{"retried, done twice", []Op{inc(1, Unknown, 0), inc(1, OK, 2)}, final(2), "more than once"},
		{"two answers", []Op{inc(1, OK, 1), inc(1, OK, 2)}, final(1), "two answers to one write"},
		{"done and refused", []Op{inc(1, OK, 1), inc(1, Refused, 0)}, final(1), "two answers to one write"},
		{"one version twice", []Op{inc(1, OK, 1), inc(2, OK, 1)}, final(2), "were given one version"},
		{"above the final version", []Op{inc(1, OK, 7), inc(2, OK, 2)}, final(2), "the final version of the key is 2"},
		{"not read", []Op{inc(1, OK, 1)}, nil, "?was not read"},
		{"nothing acknowledged", []Op{inc(1, Unknown, 0)}, final(0), "?no write was acknowledged"},
	} {
		t.Run(c.name, func(t *testing.T) { wantVerdict(t, Counter(c.ops, nil, c.final), c.want) })
	}
}

func TestCounterLog(t *testing.T) {
	const key = "i/k"
	s := newScript(t)
	s.config("a")
	s.put("s", 1, "+")
	s.put("s", 1, "+") // a retry, remembered
	s.put("s", 2, "+")
	ops := []Op{asked(Write, "s", 1, "+", OK, 1), asked(Write, "s", 2, "+", OK, 2), asked(Write, "s", 3, "+", Unknown, 0)}
	wantOK(t, Counter(ops, merged(t, s), map[string]uint64{key: 2}))
	// The bounds allow 3, the log does not.
	wantProblem(t, Counter(ops, merged(t, s), map[string]uint64{key: 3}), "the log leads to 2")

	// The session is forgotten too early, and the retry is done again.
	used := s.state(s.next - 1).Session("s").Used
	s.command(fsm.Header{}, &fsm.ExpireSessions{Sessions: []fsm.SessionUse{{ID: "s", Used: used}}})
	s.put("s", 2, "+")
	ops = slices.Insert(ops, 0, asked(Write, "s", 9, "+", Unknown, 0))
	wantProblem(t, Counter(ops, merged(t, s), map[string]uint64{key: 3}), "session s seq 2 has 2 effects in the log")
}
