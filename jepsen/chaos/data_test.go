package chaos

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/jepsen/dbclient"
	"github.com/zerokeeper/zero/jepsen/fault"
)

// aFleet is three keepers, three proxies and three databases; the second keeper leads, the first database is the primary.
var aFleet = sides{keepers: []int{0, 1, 2}, proxies: []int{3, 4, 5}, databases: []int{6, 7, 8}, leader: 1, primary: 6}

// TestSplits: each partition cuts something, the same for the same draw, and is about what it says.
func TestSplits(t *testing.T) {
	cut := func(set rules, from, to int) bool { return set[fault.Pair{From: from, To: to}].Cut }
	for _, s := range splits {
		t.Run(s.name, func(t *testing.T) {
			for seed := range uint64(20) {
				set := s.rules(aFleet, rand.New(rand.NewPCG(seed, 1)))
				again := s.rules(aFleet, rand.New(rand.NewPCG(seed, 1)))
				if len(set) == 0 || len(set) != len(again) {
					t.Fatalf("seed %d: %d and %d pairs are cut", seed, len(set), len(again))
				}
				for pair := range set {
					if again[pair] != set[pair] || pair.From == pair.To {
						t.Fatalf("seed %d: %v", seed, pair)
					}
				}
				for _, place := range slices.Concat(aFleet.all(), []int{fault.Driver}) {
					toPrimary, fromPrimary := cut(set, place, aFleet.primary), cut(set, aFleet.primary, place)
					keeper := slices.Contains(aFleet.keepers, place)
					switch {
					case place == aFleet.primary:
					case s.name == "primary without keepers" && (toPrimary != keeper || fromPrimary != keeper),
						s.name == "primary's host cut off" && (!toPrimary || !fromPrimary),
						s.name == "primary's host mute" && (toPrimary || fromPrimary != (place != fault.Driver)),
						s.name == "primary and leader apart" && place == aFleet.leader && (toPrimary || fromPrimary),
						s.name == "primary without replicas" && keeper && toPrimary:
						t.Errorf("seed %d: to the primary from %d: %v, back: %v", seed, place, toPrimary, fromPrimary)
					}
				}
			}
		})
	}
}

// TestSplitsWithKeepersAlone: the fault that takes the quorum leaves everything else whole.
func TestSplitsWithKeepersAlone(t *testing.T) {
	i := slices.IndexFunc(splits, func(s split) bool { return s.name == "keepers apart from each other" })
	for pair := range splits[i].rules(aFleet, nil) {
		if pair.From > 2 || pair.To > 2 {
			t.Errorf("%v is cut", pair)
		}
	}
}

// TestDecided: what is not known to be a refusal is in doubt.
func TestDecided(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want check.Outcome
	}{
		{"read-only", &dbclient.Error{Code: 1290}, check.Failed},
		{"not reached", &dbclient.Error{Code: 1429}, check.Failed},
		{"outcome unknown", &dbclient.Error{Code: 1180}, check.Unknown},
		{"connection killed", &dbclient.Error{Code: 1927}, check.Unknown},
		{"any other answer", &dbclient.Error{Code: 1105}, check.Unknown},
		{"no answer", io.EOF, check.Unknown},
	} {
		if got := decided(errors.Join(test.err)); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestWritersKnowTheOther: a write of the server that is lost, or from before, is not the one that is waited for.
func TestWritersKnowTheOther(t *testing.T) {
	w := &Writers{newest: map[string]time.Duration{}}
	w.awaitOther(1, 10*time.Second)
	for _, write := range []check.DBWrite{
		{Proxy: "p1", Call: 9 * time.Second, Return: 11 * time.Second, GTID: "0-1-7"},
		{Proxy: "p1", Call: 8 * time.Second, Return: 9 * time.Second, GTID: "0-2-1"},
	} {
		w.saw(write)
		if _, err := w.otherAcked(); err == nil {
			t.Fatalf("%v was taken for the first of another server", write)
		}
	}
	w.saw(check.DBWrite{Proxy: "p2", Call: 12 * time.Second, Return: 13 * time.Second, GTID: "0-2-8"})
	w.saw(check.DBWrite{Proxy: "p2", Call: 13 * time.Second, Return: 14 * time.Second, GTID: "0-2-9"})
	if first, err := w.otherAcked(); err != nil || first != 13*time.Second {
		t.Errorf("%v, %v", first, err)
	}
	if w.lastAcked("p1") != 9*time.Second || w.lastAcked("p2") != 13*time.Second || w.lastAcked("p3") != 0 {
		t.Errorf("newest %v", w.newest)
	}
}

// TestLossReport: the middle of two is the smaller, and outcomes are told apart.
func TestLossReport(t *testing.T) {
	var l LossReport
	l.summarize([]time.Duration{3 * time.Second, time.Second}, []check.DBWrite{{Outcome: check.OK}, {Outcome: check.Unknown}, {Outcome: check.Failed}, {Outcome: check.OK}})
	if l.P50MS != 1000 || l.MostMS != 3000 || !slices.Equal(l.EachMS, []int64{1000, 3000}) || l.Writes != 2 || l.InDoubt != 1 || l.Aborted != 1 {
		t.Errorf("%+v", l)
	}
}

// TestLowTierHasNoDataPlane: where there are no namespaces the scenario is not run, rather than run on less.
func TestLowTierHasNoDataPlane(t *testing.T) {
	r := newTestRun(1)
	r.Tier, r.Scenario.Data = fault.TierC, &dataPlan{Proxies: 1, Databases: 1}
	if _, err := r.newNet(); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	if r.places() != 5 {
		t.Errorf("%d places, want 3 keepers, a proxy and a database", r.places())
	}
}

// TestJudgeMoved: a run in which no primary was replaced says nothing.
func TestJudgeMoved(t *testing.T) {
	r := newTestRun(1)
	r.stats["switches planned done"] = 2
	judgeMoved(t.Context(), r)
	if r.status != Void || len(r.problems) != 1 {
		t.Errorf("%s: %q", r.status, r.problems)
	}
	r = newTestRun(1)
	r.stats["switches planned done"], r.stats["switches failover done"] = 2, 1
	if judgeMoved(t.Context(), r); r.status != OK {
		t.Errorf("%s: %q", r.status, r.problems)
	}
}
