package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
)

func newTestRun(seed uint64) *Run {
	return &Run{
		Scenario: &Scenario{Name: "G0"}, Options: Options{Seed: seed, Nodes: 3}, Timeline: newTimeline(), History: new(check.History),
		rands: rand.New(rand.NewPCG(seed, 1)), status: OK, stats: map[string]any{},
	}
}

func namesOf(steps []step) []string {
	var list []string
	for _, s := range steps {
		list = append(list, s.nemesis.name)
	}
	return list
}

// TestSeedMakesSchedule: order, lengths and draws come from the seed alone, and
// every round has each fault once.
func TestSeedMakesSchedule(t *testing.T) {
	all := partitions()
	p := pace{on: time.Second, off: 200 * time.Millisecond}
	same := func(a, b []step) bool {
		return slices.EqualFunc(a, b, func(a, b step) bool {
			return a.nemesis.name == b.nemesis.name && a.on == b.on && a.off == b.off && a.draw == b.draw
		})
	}
	first := newTestRun(7).schedule(0, all, p)
	if !same(first, newTestRun(7).schedule(0, all, p)) {
		t.Error("one seed made two schedules")
	}
	if same(first, newTestRun(8).schedule(0, all, p)) || same(first, newTestRun(7).schedule(1, all, p)) {
		t.Error("another seed or round made the same schedule")
	}
	got, want := namesOf(first), []string{}
	for _, n := range all {
		want = append(want, n.name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("a round has %v, want each of %v once", got, want)
	}
	for _, s := range first {
		if s.on < p.on*3/4 || s.on > p.on*5/4+1 || s.off < p.off*3/4 || s.off > p.off*5/4+1 {
			t.Errorf("%s lasts %v and rests %v", s.nemesis.name, s.on, s.off)
		}
	}
}

// TestStepsDrawAlone: what one step draws at run time does not change what the
// others draw, and one pass is played even when no time is given.
func TestStepsDrawAlone(t *testing.T) {
	play := func(greedy int) map[string]uint64 {
		drawn := map[string]uint64{}
		var all []nemesis
		for _, name := range []string{"a", "b", "c"} {
			all = append(all, nemesis{name, func(_ context.Context, _ *Run, rand *rand.Rand, _ time.Duration) error {
				if name == "b" {
					for range greedy {
						rand.Uint64()
					}
				}
				drawn[name] = rand.Uint64()
				return nil
			}})
		}
		if err := newTestRun(3).disturb(t.Context(), all, pace{on: 1, off: 1}); err != nil {
			t.Fatal(err)
		}
		return drawn
	}
	modest, greedy := play(0), play(5)
	if modest["a"] != greedy["a"] || modest["c"] != greedy["c"] || len(modest) != 3 {
		t.Errorf("%v, and with a greedy step %v", modest, greedy)
	}
}

// TestToothlessFaultIsVoid: a fault that showed nothing makes the run void, never
// green.
func TestToothlessFaultIsVoid(t *testing.T) {
	r := newTestRun(1)
	r.Timeline.Inject("bites", "one")
	r.Timeline.Bite("bites", "a packet")
	r.Timeline.Inject("lame", "two")
	r.Timeline.Bite("lame", "") // no evidence is none
	r.judgeTeeth()
	if r.status != Void || len(r.problems) != 1 || !strings.Contains(r.problems[0], "lame") || strings.Contains(r.problems[0], "bites") {
		t.Errorf("%s: %q", r.status, r.problems)
	}
	var lines bytes.Buffer
	if err := r.Timeline.writeJSONL(&lines); err != nil {
		t.Fatal(err)
	}
	var event Event
	if err := json.Unmarshal([]byte(strings.Split(lines.String(), "\n")[0]), &event); err != nil || event.Kind != "bites" {
		t.Errorf("%v: %+v", err, event)
	}
}

// TestUnknownIsNotGreen: a run of which too little is known is void, and one in
// which nothing succeeded.
func TestUnknownIsNotGreen(t *testing.T) {
	ops := func(ok, unknown int) []check.Op {
		var all []check.Op
		for range ok {
			all = append(all, check.Op{Outcome: check.OK})
		}
		for range unknown {
			all = append(all, check.Op{Outcome: check.Unknown})
		}
		return all
	}
	for _, test := range []struct {
		name        string
		ok, unknown int
		most        float64
		want        Status
	}{
		{"few", 95, 5, 0, OK}, {"many", 80, 20, 0, Void}, {"as many as the scenario bears", 80, 20, 0.5, OK}, {"nothing succeeded", 0, 1, 1, Void},
	} {
		r := newTestRun(1)
		r.Scenario.Most = test.most
		r.judgeUnknown(ops(test.ok, test.unknown))
		if r.status != test.want {
			t.Errorf("%s: %s %q", test.name, r.status, r.problems)
		}
	}
	r := newTestRun(1)
	r.take("I1", check.Verdict{Unknown: true, Problems: []string{"no time"}})
	if r.status != Undecided {
		t.Errorf("a checker that could not decide: %s", r.status)
	}
	r.take("I1", check.Verdict{}) // not ok, without a reason
	if r.status != Violation || len(r.problems) != 2 {
		t.Errorf("%s: %q", r.status, r.problems)
	}
}

// TestControls: a control is green only when the right checker found it, and not
// when the run could not be carried out.
func TestControls(t *testing.T) {
	for _, test := range []struct {
		name    string
		status  Status
		problem string
		want    Status
	}{
		{"found", Violation, "I2: lost", OK},
		{"something else", Violation, "I1: stale", Violation},
		{"nothing", OK, "", Violation},
		{"not carried out", Failed, "no namespace", Failed},
		{"void", Void, "nothing bit", Void},
	} {
		r := newTestRun(1)
		r.Scenario.Control, r.Scenario.Finds = "nosync", "I2"
		if test.problem != "" {
			r.worse(test.status, "%s", test.problem)
		}
		r.judgeControl()
		if r.status != test.want {
			t.Errorf("%s: %s %q, want %s", test.name, r.status, r.problems, test.want)
		}
	}
}

// TestScenarios: names are unique and sorted, controls come last and are picked
// by G18, and a name that there is not is refused.
func TestScenarios(t *testing.T) {
	all, err := Scenarios(nil, true)
	if err != nil {
		t.Fatal(err)
	}
	list := names(all)
	for _, name := range []string{"G1", "G2", "G3", "G5", "G7", "G10", "G11", "G12"} {
		if !slices.Contains(list, name) {
			t.Errorf("no scenario %s in %v", name, list)
		}
	}
	if g2, g10 := slices.Index(list, "G2"), slices.Index(list, "G10"); g2 > g10 {
		t.Errorf("not in order: %v", list)
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(list))); len(unique) != len(list) {
		t.Errorf("a name twice: %v", list)
	}
	smoke, err := Scenarios(nil, false)
	if err != nil || slices.Contains(names(smoke), "G3-all") || len(smoke) < 10 {
		t.Errorf("the smoke run is %v, %v", names(smoke), err)
	}
	picked, err := Scenarios([]string{"G18"}, false)
	if err != nil || len(picked) != 10 {
		t.Errorf("G18 picks %v, %v; want the five controls of the quorum and the five of the switch", names(picked), err)
	}
	if full, err := Scenarios(Full([]string{"G8", "G2"}), false); err != nil || !slices.Equal(names(full), []string{"G8-full", "G2"}) {
		t.Errorf("G8 and G2 in full are %v, %v", names(full), err)
	}
	for _, s := range picked {
		if s.Finds == "" {
			t.Errorf("%s would be green whatever is found", s.Name)
		}
	}
	if _, err := Scenarios([]string{"G99"}, false); err == nil {
		t.Error("G99 was found")
	}
}

func TestOutcomes(t *testing.T) {
	var out bytes.Buffer
	green := Result{Scenario: "G1", Status: OK, Faults: []FaultCount{{Kind: "delay", Injected: 1, Bites: 1, Evidence: "9 packets"}}, Stats: map[string]any{"ops_ok": 3}}
	if !Summarize(&out, []Result{green}) || !strings.Contains(out.String(), "1 of 1 runs green, 1 kinds of fault, 3 operations") {
		t.Errorf("%s", out.String())
	}
	for _, s := range []Status{Violation, Undecided, Void, Failed} {
		out.Reset()
		if Summarize(&out, []Result{green, {Scenario: "G2", Status: s, Seed: 9, Problems: []string{"I1: one\nat length", "I2: two", "I3: three", "I4: four"}}}) {
			t.Errorf("%s counts as green", s)
		}
		if end := fmt.Sprintf("\nG2 %s, 0 keepers, seed 9\n    I1: one\n    I2: two\n    I3: three\n    … 1 more\n", s); !strings.HasSuffix(out.String(), end) {
			t.Errorf("it does not end with why: %s", out.String())
		}
	}
	if Summarize(&out, nil) {
		t.Error("no run at all is green")
	}
}

// TestOutcomeOf: what a client does not know must never count as done or as not
// done.
func TestOutcomeOf(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want check.Outcome
	}{
		{"answered", nil, check.OK},
		{"changed by somebody else", &api.Error{Code: api.Conflict}, check.Refused},
		{"unknown", &api.Error{Code: api.OutcomeUnknown}, check.Unknown},
		{"session forgotten", fmt.Errorf("put: %w", &api.Error{Code: api.SessionGone}), check.Unknown},
		{"no leader", &api.Error{Code: api.NoLeader}, check.Failed},
		{"too large", &api.Error{Code: api.TooLarge}, check.Failed},
		{"no keeper reachable", transport.ErrNoKeeper, check.Failed},
	} {
		if got := outcomeOf(test.err); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestRegistersMoveOn: no register gets more operations than the checker bears,
// and no value is written twice.
func TestRegistersMoveOn(t *testing.T) {
	g := newRegisters()
	count, values := map[string]int{}, map[string]bool{}
	for range 3 * opsPerKey {
		key, value, _ := g.next(1)
		count[key]++
		if values[value] {
			t.Fatalf("value %s twice", value)
		}
		values[value] = true
	}
	if len(count) != 3 {
		t.Errorf("%d registers for %d operations", len(count), 3*opsPerKey)
	}
	for key, n := range count {
		if n > opsPerKey {
			t.Errorf("%s has %d operations", key, n)
		}
	}
	key, _, _ := g.next(2)
	g.saw(check.Op{Key: check.SectionKey(registerID, key), Outcome: check.OK, GotVersion: 4})
	if again, _, version := g.next(2); again != key || version != 4 {
		t.Errorf("compare-and-set of %s will ask for version %d, want 4", again, version)
	}
}

// TestFinishedLeases: only a silence whose end nobody could wait for is left out.
func TestFinishedLeases(t *testing.T) {
	long := leaseTTL + leaseBound + leaseEpsilon
	events := []check.LeaseEvent{
		{Holder: "a", Kind: check.Stopped, Sent: time.Second, Answered: time.Second},
		{Holder: "b", Kind: check.Stopped, Sent: 2 * time.Second, Answered: 2 * time.Second},
		{Holder: "b", Kind: check.Lost, Sent: time.Second + long, Answered: time.Second + long},
	}
	got := finished(events)
	if len(got) != 2 || got[0].Holder != "a" || got[1].Kind != check.Lost {
		t.Errorf("left are %v", got)
	}
}
