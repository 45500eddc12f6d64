package keeper

import (
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

func TestChoose(t *testing.T) {
	replica := func(address, received string) contender {
		return contender{address: address, stopped: true, received: received, applied: received, prefer: 1}
	}
	with := func(c contender, changes ...func(c *contender)) contender {
		for _, change := range changes {
			change(&c)
		}
		return c
	}
	lags := func(c *contender) { c.lagging, c.behind = true, time.Minute }
	near := func(c *contender) { c.zone, c.near = "z1", true }
	preferred := func(c *contender) { c.prefer = 0 }
	excluded := func(c *contender) { c.excluded = "it is in never" }
	away := func(c *contender) { c.stopped, c.received, c.excluded = false, "", "no connection" }
	tests := []struct {
		name   string
		list   []contender
		policy string // lossless when empty
		want   string // an address; empty: refused
		code   api.Code
		says   string // part of the loss or the error
		why    string // part of the reason
	}{
		{name: "the most advanced", list: []contender{replica("a", "0-1-9"), replica("b", "0-1-11"), replica("c", "0-1-10")}, want: "b"},
		{name: "numbers, not text", list: []contender{replica("a", "0-1-9"), replica("b", "0-1-10")}, want: "b"},
		{name: "the first of equals", list: []contender{replica("a", "0-1-9"), replica("b", "0-1-9")}, want: "a"},
		{name: "the preferred of equals", list: []contender{replica("a", "0-1-9"), with(replica("b", "0-1-9"), func(c *contender) { c.prefer = 0 })}, want: "b"},
		{name: "not the preferred that is behind", list: []contender{replica("a", "0-1-9"), with(replica("b", "0-1-8"), func(c *contender) { c.prefer = 0 })}, want: "a"},
		{name: "less lag of equals", list: []contender{with(replica("a", "0-1-9"), func(c *contender) { c.applied = "0-1-2" }), replica("b", "0-1-9")}, want: "b"},
		{name: "one that lags is passed over", list: []contender{with(replica("a", "0-1-9"), lags), replica("b", "0-1-9")}, want: "b", why: "a was passed over, it was 1m0s behind"},
		{name: "also when it is preferred", list: []contender{with(replica("a", "0-1-9"), lags, preferred), replica("b", "0-1-9")}, want: "b"},
		{name: "not when it alone has all", list: []contender{with(replica("a", "0-1-10"), lags), replica("b", "0-1-9")}, want: "a", why: "it alone has received most"},
		{name: "not when all lag", list: []contender{with(replica("a", "0-1-9"), lags), with(replica("b", "0-1-9"), lags)}, want: "a"},
		{name: "the zone of the old primary", list: []contender{replica("a", "0-1-9"), with(replica("b", "0-1-9"), near)}, want: "b", why: "zone of the old primary"},
		{name: "before who has applied more", list: []contender{replica("a", "0-1-9"), with(replica("b", "0-1-9"), near, func(c *contender) { c.applied = "0-1-1" })}, want: "b"},
		{name: "prefer before the zone", list: []contender{with(replica("a", "0-1-9"), near), with(replica("b", "0-1-9"), preferred)}, want: "b", why: "is preferred"},
		{name: "lag before the zone", list: []contender{with(replica("a", "0-1-9"), near, lags), replica("b", "0-1-9")}, want: "b"},
		{name: "positions before everything", list: []contender{with(replica("a", "0-1-9"), near, preferred), with(replica("b", "0-1-10"), lags)}, want: "b"},
		{name: "also when writes may be lost", policy: fsm.PolicyAvailable, list: []contender{with(replica("a", "0-1-9"), near, preferred), with(replica("b", "0-1-10"), lags), with(replica("c", ""), away)}, want: "b", says: "c was not reached"},
		{name: "every domain", list: []contender{replica("a", "0-1-9,1-2-5"), replica("b", "0-1-9,1-2-6")}, want: "b"},
		{name: "one that never is, with no more than another", list: []contender{with(replica("a", "0-1-9"), excluded), replica("b", "0-1-9")}, want: "b"},
		{name: "one that never is has most", list: []contender{with(replica("a", "0-1-10"), excluded), replica("b", "0-1-9")}, code: api.MayLoseWrites, says: "never"},
		{name: "and available", policy: fsm.PolicyAvailable, list: []contender{with(replica("a", "0-1-10"), excluded), replica("b", "0-1-9")}, want: "b", says: "b has 0:9 of 0:10"},
		{name: "two that diverged", list: []contender{replica("a", "0-1-10,1-1-1"), replica("b", "0-1-9,1-1-2")}, code: api.MayLoseWrites, says: "0:10,1:2"},
		{name: "one is missing", list: []contender{replica("a", "0-1-9"), with(replica("b", ""), away)}, code: api.MayLoseWrites, says: "b was not reached"},
		{name: "one is missing, and available", policy: fsm.PolicyAvailable, list: []contender{replica("a", "0-1-9"), with(replica("b", ""), away)}, want: "a", says: "b was not reached"},
		{name: "one has no position", list: []contender{replica("a", "0-1-9"), replica("b", "")}, code: api.MayLoseWrites, says: "no GTID position"},
		{name: "one speaks nonsense", list: []contender{replica("a", "0-1-9"), replica("b", "x")}, code: api.MayLoseWrites, says: "not a GTID position"},
		{name: "nobody can be", policy: fsm.PolicyAvailable, list: []contender{with(replica("a", "0-1-9"), excluded), with(replica("b", ""), away)}, code: api.NoCandidate, says: "no connection"},
		{name: "nobody at all", list: nil, code: api.NoCandidate},
		{name: "an errant one that has nothing of the old primary", list: []contender{replica("a", "0-1-9"), {address: "b", stopped: true, outside: true, excluded: "errant"}}, want: "a"},
		{name: "an errant one that has less", list: []contender{replica("a", "0-1-9"), {address: "b", stopped: true, outside: true, received: "0-1-7", excluded: "errant"}}, want: "a"},
		{name: "an errant one that has more", list: []contender{replica("a", "0-1-9"), {address: "b", stopped: true, outside: true, received: "0-1-10", excluded: "errant"}}, code: api.MayLoseWrites, says: "0:10"},
		{name: "one of which it is not known", list: []contender{replica("a", "0-1-9"), {address: "b", outside: true, excluded: "it does not replicate"}}, code: api.MayLoseWrites, says: "b was not reached"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			policy := test.policy
			if policy == "" {
				policy = fsm.PolicyLossless
			}
			got, err := choose(test.list, policy)
			text := got.lost
			if err != nil {
				text = err.Error()
			}
			if !strings.Contains(got.why, test.why) || (err == nil) != (got.why != "") {
				t.Errorf("chose it because %q, want %q", got.why, test.why)
			}
			if wantCode(t, "the choice", err, test.code); got.address != test.want || !strings.Contains(text, test.says) || (err == nil && test.says == "" && got.lost != "") {
				t.Errorf("chose %q (%s), want %q (%s)", got.address, text, test.want, test.says)
			}
		})
	}
}

func TestEvidence(t *testing.T) {
	base := evidence{lease: 2 * time.Second, probes: 3, silent: 3 * time.Second, proxies: 3, failing: 3}
	tests := []struct {
		name   string
		change func(e *evidence)
		gone   bool
	}{
		{"silent, and everybody says so", func(e *evidence) {}, true},
		{"two of three say so", func(e *evidence) { e.failing = 2 }, true},
		{"never opened, silent", func(e *evidence) { e.unused, e.failing = true, 0 }, true},
		{"never opened, heard", func(e *evidence) { e.unused, e.silent = true, 0 }, false},
		{"half say so", func(e *evidence) { e.proxies, e.failing = 4, 2 }, false},
		{"nobody is asked", func(e *evidence) { e.proxies, e.failing = 0, 0 }, false},
		{"a replica hears it", func(e *evidence) { e.hearing = []string{"b:1"} }, false},
		{"overloaded: probes fail, its agent lives", func(e *evidence) { e.silent = time.Second }, false},
		{"silent for just a lease", func(e *evidence) { e.silent = 2 * time.Second }, false},
		{"hung: nobody gets an answer", func(e *evidence) { e.hang() }, true},
		{"hung, a moment too short", func(e *evidence) { e.hang(); e.hung = 9 * time.Second }, false},
		{"hung, and a replica hears it", func(e *evidence) { e.hang(); e.hearing = []string{"b:1"} }, false},
		{"hung, and half the proxies reached it", func(e *evidence) { e.hang(); e.stuck, e.proxies = 1, 2 }, false},
		{"hung, and nobody probes it", func(e *evidence) { e.hang(); e.stuck, e.failing, e.proxies = 0, 0, 0 }, false},
		{"hung, for whom that is off", func(e *evidence) { e.hang(); e.patient = 0 }, false},
		{"hung, and its agent is silent now: it is judged as a lost one", func(e *evidence) { e.hang(); e.silent = 3 * time.Second; e.failing = 0 }, false},
		{"overloaded: most probes fail, its agent gets answers", func(e *evidence) { e.hang(); e.hung = 0 }, false},
		{"dead, says its agent", func(e *evidence) { *e = evidence{lease: e.lease, probes: 3, dead: 3, proxies: 3} }, true},
		{"dead, and a replica still drains its socket", func(e *evidence) { e.silent, e.dead, e.hearing = 0, 3, []string{"b:1"} }, true},
		{"dead, but it may be a mistake", func(e *evidence) { e.dead = 2 }, false},
		{"dead once is enough if it is so set", func(e *evidence) { e.probes, e.dead = 1, 1 }, true},
	}
	for _, test := range tests {
		e := base
		test.change(&e)
		if got, why := e.gone(); got != test.gone || why == "" {
			t.Errorf("%s: gone %v (%s), want %v", test.name, got, why, test.gone)
		}
	}
}

// hang makes the evidence that of a server that hangs.
func (e *evidence) hang() {
	e.silent, e.hung, e.patient, e.stuck = 0, 11*time.Second, 10*time.Second, e.proxies
}

func FuzzParseGTIDs(f *testing.F) {
	for _, seed := range []string{"0-1-99", "0-1-99,1-2-3", "0-1-99, 0-2-100", "", "x", "4294967296-1-1", "0-1-18446744073709551615"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		position, err := parseGTIDs(text)
		if err != nil {
			return
		}
		if len(position) == 0 || !position.covers(position) || position.compare(position) != 0 || !position.union(nil).covers(position) {
			t.Errorf("%q is %v", text, position)
		}
	})
}
