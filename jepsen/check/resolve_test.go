package check

import (
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
)

// asked is an operation on section k of id i, as script.put writes it.
func asked(kind, session string, seq uint64, value string, outcome Outcome, version uint64) Op {
	op := Op{Kind: kind, Key: SectionKey("i", "k"), Value: value, Call: ms(int(seq)), Outcome: outcome, GotVersion: version, Session: session, Seq: seq}
	if outcome != Unknown {
		op.Return = op.Call + ms(1)
	}
	return op
}

func merged(t testing.TB, s *script) *RaftLog {
	t.Helper()
	m, err := Merge(logOf(t, "a", s))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestResolve(t *testing.T) {
	s := newScript(t)
	s.config("a")
	s.put("s", 1, "one")
	cas := func(seq, version uint64, value string) {
		s.command(fsm.Header{Session: "c", Seq: seq}, &fsm.PutSection{ID: "i", Section: "k", Data: []byte(value), Compare: true, Version: version})
	}
	cas(1, 1, "two")
	cas(2, 1, "no")
	s.put("s", 2, "three")
	s.put("s", 2, "three") // tried again
	log := merged(t, s)
	done := func(op Op, outcome Outcome, version uint64) Op {
		op.Outcome, op.GotVersion, op.Return = outcome, version, Forever
		return op
	}
	ask := asked(Write, "s", 2, "three", Unknown, 0)
	swap := asked(CAS, "c", 1, "two", Unknown, 0)
	late := asked(CAS, "c", 2, "no", Unknown, 0)
	swap.Version, late.Version = 1, 1
	known := asked(Write, "s", 1, "one", OK, 1)
	failed := asked(Write, "s", 9, "never", Failed, 0)
	nameless := Op{Kind: Write, Key: "i/k", Call: ms(20), Outcome: Unknown}
	stays := nameless
	stays.Return = Forever
	for _, c := range []struct {
		name string
		in   []Op
		want []Op
	}{
		{"done", []Op{ask}, []Op{done(ask, OK, 3)}},
		{"cas done", []Op{swap}, []Op{done(swap, OK, 2)}},
		{"cas refused", []Op{late}, []Op{done(late, Refused, 0)}},
		{"in no log", []Op{asked(Write, "s", 7, "x", Unknown, 0)}, nil},
		{"a read", []Op{{Kind: Read, Key: "i/k", Call: 1, Outcome: Unknown}}, nil},
		{"what is known stays", []Op{known, failed}, []Op{known, failed}},
		{"without a session", []Op{nameless}, []Op{stays}},
		{"two attempts", []Op{ask, ask}, []Op{done(ask, OK, 3)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Resolve(c.in, log); !slices.Equal(got, c.want) {
				t.Errorf("resolved %v, want %v", got, c.want)
			}
		})
	}
	t.Run("then linearizable", func(t *testing.T) {
		see := Op{Kind: Read, Key: "i/k", Call: ms(30), Return: ms(31), Outcome: OK, Found: true, GotValue: "three", GotVersion: 3}
		wantOK(t, Linearizable(Resolve([]Op{known, ask, swap, late, see}, log), LinearizableOptions{}))
		see.GotValue = "no"
		wantProblem(t, Linearizable(Resolve([]Op{known, ask, swap, late, see}, log), LinearizableOptions{}), "not linearizable")
	})
}

// TestResolveWhatCannotBeTold: undecided and compacted writes stay unknown, unless the snapshot remembers the answer.
func TestResolveWhatCannotBeTold(t *testing.T) {
	s := base(t, "a", "b", "c")
	m, err := Merge(logOf(t, "a", plus(s, 1, "x")), logOf(t, "b", s), logOf(t, "c", s))
	if err != nil {
		t.Fatal(err)
	}
	tail := asked(Write, "t", 100, "x", Unknown, 0)
	if got := Resolve([]Op{tail}, m); len(got) != 1 || got[0].Outcome != Unknown {
		t.Errorf("resolved %v", got)
	}
	wantProblem(t, InLog([]Op{asked(Write, "t", 100, "x", OK, 2)}, m), "not decided")

	p := puts(t, 4) // sequences 1 to 4 at entries 3 to 6
	p.command(fsm.Header{Session: "s", Seq: 5, Acked: 3}, &fsm.PutSection{ID: "i", Section: "k"})
	d := newKeeperDir(t, "a", p.logs)
	d.snapshot(7, 1, p.state(7), "a")
	d.forget(7)
	if m, err = Merge(d.read()); err != nil {
		t.Fatal(err)
	}
	got := Resolve([]Op{asked(Write, "s", 2, "vv", Unknown, 0), asked(Write, "s", 4, "vvvv", Unknown, 0), asked(Write, "x", 1, "", Unknown, 0)}, m)
	if len(got) != 3 || got[0].Outcome != Unknown || got[1].Outcome != Unknown {
		t.Fatalf("resolved %v", got)
	}
	if op := got[2]; op.Seq != 4 || op.Outcome != OK || op.GotVersion != 4 || op.Return != Forever {
		t.Errorf("remembered: %v", op)
	}
	v := InLog([]Op{asked(Write, "s", 2, "vv", OK, 2), asked(Write, "s", 4, "vvvv", OK, 4)}, m)
	wantOK(t, v)
	if v.Stats["compacted"] != 1 || v.Stats["found"] != 1 {
		t.Errorf("stats %v", v.Stats)
	}
}

func TestResolveWithoutReplay(t *testing.T) {
	bad := &RaftLog{Entries: []Entry{{Index: 1, Term: 1, Type: raft.LogCommand, Data: []byte("x")}}}
	op := asked(Write, "s", 1, "x", Unknown, 0)
	if got := Resolve([]Op{op}, bad); len(got) != 1 || got[0].Outcome != Unknown {
		t.Errorf("resolved %v", got)
	}
	wantUndecided(t, InLog([]Op{op}, bad), "damaged")
}

func TestInLog(t *testing.T) {
	s := newScript(t)
	s.config("a")
	s.put("s", 1, "one")
	s.put("s", 2, "two")
	s.command(fsm.Header{Session: "s", Seq: 3}, &fsm.PutSection{ID: "i", Section: "k", Data: []byte("no"), Compare: true})
	s.command(fsm.Header{Session: "s", Seq: 4}, &fsm.RaiseClusterEpoch{})
	log := merged(t, s)
	otherKey := asked(Write, "s", 1, "one", OK, 1)
	otherKey.Key = "i/j"
	for _, c := range []struct {
		name string
		op   Op
		want string
	}{
		{"as answered", asked(Write, "s", 2, "two", OK, 2), ""},
		{"refused", asked(CAS, "s", 3, "no", Refused, 0), ""},
		{"failed and not there", asked(Write, "s", 9, "x", Failed, 0), ""},
		{"failed and refused by the machine", asked(CAS, "s", 3, "no", Failed, 0), ""},
		{"unknown", asked(Write, "s", 9, "x", Unknown, 0), ""},
		{"without a session", Op{Kind: Write, Key: "i/k", Outcome: OK}, ""},
		{"acknowledged and lost", asked(Write, "s", 9, "x", OK, 3), "in no log"},
		{"failed and done", asked(Write, "s", 2, "two", Failed, 0), "said to have failed"},
		{"another version", asked(Write, "s", 2, "two", OK, 3), "the log's answer is version 2"},
		{"another value", asked(Write, "s", 2, "three", OK, 2), "in the log it is"},
		{"another key", otherKey, "in the log it is"},
		{"another kind", asked(CAS, "s", 2, "two", OK, 2), "in the log it is"},
		{"no put at all", asked(Write, "s", 4, "x", OK, 0), "in the log it is"},
		{"done, but the machine refused", asked(CAS, "s", 3, "no", OK, 3), "the log's answer is code"},
		{"refused, but the machine did it", asked(CAS, "s", 2, "two", Refused, 0), "the log's answer is code 0"},
	} {
		t.Run(c.name, func(t *testing.T) { wantVerdict(t, InLog([]Op{c.op}, log), c.want) })
	}
}
