package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
)

func TestPlanIsTheSeeds(t *testing.T) {
	draw := func(seed uint64) string { return fmt.Sprint(plan(rand.New(rand.NewPCG(seed, 3)), 5, time.Minute)) }
	if one, again := draw(1), draw(1); one != again || one == draw(2) {
		t.Error("a plan is not what its seed says")
	}
	seen := map[faultKind]bool{}
	for _, f := range plan(rand.New(rand.NewPCG(1, 3)), 5, time.Hour) {
		seen[f.kind] = true
		if f.target < theLeader || f.target >= 5 || f.length <= 0 {
			t.Errorf("%s", f)
		}
	}
	for _, w := range weights {
		if !seen[w.kind] {
			t.Errorf("%s is never drawn", w.kind)
		}
	}
}

func TestShapes(t *testing.T) {
	tests := []struct {
		fault fault
		want  string // the dead links among three nodes, for target 0
	}{
		{fault{kind: isolate}, "0>1 0>2 1>0 2>0"},
		{fault{kind: freeze}, "0>1 0>2 1>0 2>0"},
		{fault{kind: deaf}, "1>0 2>0"},
		{fault{kind: mute}, "0>1 0>2"},
		{fault{kind: oneLink, other: 0}, "0>1"},
		{fault{kind: ring}, ""},
		{fault{kind: halves, other: 0}, "0>1 0>2 1>0 2>0"},
		{fault{kind: halves, other: 3}, "0>2 1>2 2>0 2>1"},
		{fault{kind: bridge, other: 1}, "1>2 2>1"},
	}
	for _, test := range tests {
		dead := test.fault.shape(0, 3)
		var links []string
		for from := range 3 {
			for to := range 3 {
				if dead(from, to) {
					links = append(links, fmt.Sprintf("%d>%d", from, to))
				}
			}
		}
		if got := strings.Join(links, " "); got != test.want {
			t.Errorf("%s (%d) kills %q, want %q", test.fault.kind, test.fault.other, got, test.want)
		}
	}
	dead := fault{kind: ring}.shape(0, 5)
	if !dead(0, 2) || !dead(3, 1) || dead(0, 1) || dead(0, 4) || dead(2, 2) {
		t.Error("a ring of five is no ring")
	}
}

// rig is a recorder whose violations are kept.
func rig() (*recorder, *[]string) {
	var clock atomic.Int64
	var found []string
	return newRecorder(&clock, func(invariant, format string, args ...any) {
		found = append(found, invariant+": "+fmt.Sprintf(format, args...))
	}), &found
}

// feed applies a command on a node.
func feed(t *testing.T, w *witness, index, term uint64, h fsm.Header, c fsm.Command) fsm.Result {
	t.Helper()
	data, err := fsm.Encode(h, c)
	if err != nil {
		t.Fatal(err)
	}
	result, err := w.Apply(index, term, data)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func put(value string) fsm.Command {
	return &fsm.PutSection{ID: "reg", Section: "r0", Data: []byte(value)}
}

func TestRecorderFinds(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, r *recorder, a, b *witness)
		want string // the invariant, none when all is well
	}{
		{"the same on both", func(t *testing.T, _ *recorder, a, b *witness) {
			for _, w := range []*witness{a, b} {
				feed(t, w, 1, 1, fsm.Header{Session: "s", Seq: 1}, put("x"))
				feed(t, w, 2, 2, fsm.Header{Session: "s", Seq: 1}, put("x")) // a retry
				feed(t, w, hashEvery, 2, fsm.Header{}, put("y"))
			}
		}, ""},
		{"another entry", func(t *testing.T, _ *recorder, a, b *witness) {
			feed(t, a, 1, 1, fsm.Header{}, put("x"))
			feed(t, b, 1, 1, fsm.Header{}, put("y"))
		}, "I3"},
		{"another term", func(t *testing.T, _ *recorder, a, b *witness) {
			feed(t, a, 1, 1, fsm.Header{}, put("x"))
			feed(t, b, 1, 2, fsm.Header{}, put("x"))
		}, "I3"},
		{"a term that falls", func(t *testing.T, _ *recorder, a, _ *witness) {
			feed(t, a, 1, 2, fsm.Header{}, put("x"))
			feed(t, a, 2, 1, fsm.Header{}, put("y"))
		}, "I3"},
		{"another state", func(t *testing.T, _ *recorder, a, b *witness) {
			feed(t, a, 1, 1, fsm.Header{}, put("x"))
			feed(t, a, hashEvery, 1, fsm.Header{}, put("y"))
			feed(t, b, hashEvery, 1, fsm.Header{}, put("y")) // without entry 1
		}, "I3"},
		{"twice", func(t *testing.T, _ *recorder, a, _ *witness) {
			feed(t, a, 1, 1, fsm.Header{}, put("x"))
			feed(t, a, 2, 1, fsm.Header{}, put("x"))
		}, "I10"},
		{"two leaders", func(_ *testing.T, r *recorder, _, _ *witness) {
			r.leads(3, "a")
			r.leads(4, "b")
			r.leads(3, "b")
		}, "TERM"},
		{"an answer from another term", func(t *testing.T, r *recorder, a, _ *witness) {
			feed(t, a, 1, 3, fsm.Header{}, put("x"))
			r.acknowledged("a", 2, 1)
		}, "TERM"},
		{"an answer about nothing", func(_ *testing.T, r *recorder, _, _ *witness) { r.acknowledged("a", 0, 7) }, "I2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, found := rig()
			test.do(t, r, &witness{fsm.New(), r, "a"}, &witness{fsm.New(), r, "b"})
			switch {
			case test.want == "" && len(*found) > 0:
				t.Errorf("found %q where all is well", *found)
			case test.want != "" && (len(*found) == 0 || !strings.HasPrefix((*found)[0], test.want+":")):
				t.Errorf("found %q, want %s", *found, test.want)
			}
		})
	}
}

func TestLinearizableFinds(t *testing.T) {
	write := func(value string, call, ret int64) operation {
		return operation{kind: writeOp, key: "r0", value: value, call: call, ret: ret, verdict: done}
	}
	read := func(value string, call, ret int64) operation {
		return operation{kind: readOp, key: "r0", value: value, call: call, ret: ret, verdict: done}
	}
	swap := func(expect, value string, v verdict, call, ret int64) operation {
		return operation{kind: swapOp, key: "r0", expect: expect, value: value, call: call, ret: ret, verdict: v}
	}
	tests := []struct {
		name string
		ops  []operation
		bad  bool
	}{
		{"in order", []operation{write("a", 1, 2), read("a", 3, 4), write("b", 5, 6), read("b", 7, 8)}, false},
		{"at once", []operation{write("a", 1, 9), read("", 2, 3), read("a", 4, 5)}, false},
		{"stale", []operation{write("a", 1, 2), read("", 3, 4)}, true},
		{"back and forth", []operation{write("a", 1, 9), read("a", 2, 3), read("", 4, 5)}, true},
		{"a swap that worked on what was not there", []operation{write("a", 1, 2), swap("", "b", done, 3, 4)}, true},
		{"a swap that was refused without a reason", []operation{write("a", 1, 2), swap("a", "b", refused, 3, 4)}, true},
		{"swaps", []operation{swap("", "a", done, 1, 2), swap("", "b", refused, 3, 4), swap("a", "c", done, 5, 6), read("c", 7, 8)}, false},
		{"no end", []operation{write("a", 1, 0), read("", 2, 3), read("a", 8, 9)}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			illegal, undecided := linearizable(test.ops)
			if (len(illegal) > 0) != test.bad || len(undecided) > 0 {
				t.Errorf("%v, undecided %v", illegal, undecided)
			}
		})
	}
}

// What a client was not told is settled by the log.
func TestResolve(t *testing.T) {
	r, found := rig()
	a := &witness{fsm.New(), r, "a"}
	r.clock.Store(10)
	feed(t, a, 1, 1, fsm.Header{}, put("x"))
	ops := resolve([]operation{
		{kind: writeOp, key: "r0", value: "x", call: 5, verdict: unknown},
		{kind: writeOp, key: "r0", value: "y", call: 6, verdict: unknown},
		{kind: writeOp, key: "r0", value: "z", call: 7, ret: 8, verdict: failed},
	}, r)
	if len(ops) != 1 || ops[0].value != "x" || ops[0].ret != 11 || len(*found) > 0 {
		t.Errorf("%v, %v", ops, *found)
	}
	w := &world{rec: r, ops: []operation{
		{kind: writeOp, key: "r0", value: "x", call: 5, ret: 6, verdict: failed},
		{kind: writeOp, key: "r0", value: "y", call: 5, ret: 6, verdict: done},
	}}
	w.checkHistory()
	for _, id := range []string{"OUTCOME", "I2"} {
		if !slices.ContainsFunc(w.violations, func(v violation) bool { return v.invariant == id }) {
			t.Errorf("no %s in %v", id, w.violations)
		}
	}
}

// A goroutine that does not end is found, with its stack.
func TestBubbleFindsLeaks(t *testing.T) {
	left := bubble(t, func() { go func() { select {} }() })
	if len(left.leaks) != 1 || !strings.Contains(left.leaks[0], "TestBubbleFindsLeaks") {
		t.Errorf("%+v", left)
	}
	if left = bubble(t, func() {}); left.why != "" {
		t.Errorf("%+v", left)
	}
}
