package fsm

import (
	"strings"
	"testing"
	"time"
)

func TestBadInputVoteForASwitchThatIsOver(t *testing.T) {
	r := switchRig(t)
	vote := &CastVote{Generation: 1, Vote: Vote{Switch: "g1-1", Proxy: "p1", Vote: true}}
	r.advance(0, StateRequested, StateRolledBack)
	r.do(CodeStaleGeneration, vote)
	r.do(CodeKeyMissing, &CastVote{Generation: 9, Vote: Vote{Switch: "g1-9", Proxy: "p1", Vote: true}})
	if votes := r.m.State().Votes("g1-1"); len(votes) != 0 {
		t.Errorf("%+v", votes)
	}
}

// A vote that comes again counts once, and its last word.
func TestBadInputVoteTwice(t *testing.T) {
	r := switchRig(t)
	r.advance(0, StateRequested, StatePreflight)
	r.advance(0, StatePreflight, StateVoting)
	for _, yes := range []bool{true, true, false} {
		r.do(0, &CastVote{Generation: 1, Vote: Vote{Switch: "g1-1", Proxy: "p1", Vote: yes}})
	}
	if votes := r.m.State().Votes("g1-1"); len(votes) != 1 || votes[0].Vote {
		t.Errorf("%+v", votes)
	}
}

// Whatever names the generation before is refused, and changes nothing.
func TestBadInputOldGeneration(t *testing.T) {
	r := switchRig(t)
	r.advance(0, StateRequested, StateRolledBack)
	r.now += int64(1e11)
	r.do(0, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned})
	r.advance(0, StateRequested, StatePreflight)
	before := *r.m.State().Group("g1")
	r.do(CodeStaleGeneration, &AdvanceSwitch{ID: "g1-1", Generation: 1, From: StateRequested, To: StatePreflight})
	r.do(CodeStaleGeneration, &AdvanceSwitch{ID: "g1-2", Generation: 1, From: StatePreflight, To: StateVoting})
	r.do(CodeStaleGeneration, &RecordHook{ID: "g1-2", Generation: 1, Result: HookResult{Hook: "h", Event: "e"}})
	r.do(CodeInvalidSwitch, &AbortSwitch{ID: "g1-1", Reason: "late"})
	r.do(CodeSwitchInProgress, &RequestSwitch{Group: "g1", From: 0, To: 1, Kind: KindPlanned, ByOperator: true})
	if now := *r.m.State().Group("g1"); now.Generation != before.Generation || now.Step != before.Step || now.OpenSwitch != before.OpenSwitch {
		t.Errorf("%+v, then %+v", before, now)
	}
}

// A request that comes again in its session happens once and gets its answer.
func TestBadInputReplay(t *testing.T) {
	r := newRig(t)
	r.publish(0, group("g1", "a:1", "b:1"))
	h := Header{Session: "s", Seq: 1}
	request := &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned, ByOperator: true}
	first := r.with(h, request)
	again := r.with(h, request)
	if first.Code != 0 || again.Code != 0 || string(first.Data) != string(again.Data) || len(r.m.State().Switches()) != 1 || r.m.State().Group("g1").Generation != 1 {
		t.Errorf("%+v, %+v", first, again)
	}
	h.Seq = 2
	for range 2 {
		r.with(h, &AckSwitch{ID: "g1-1", By: "ada"}) // refused: it is open; remembered, too
	}
	h.Seq = 3
	hold := r.with(h, &SetMaintenance{Group: "g1", On: true, By: "ada", Reason: "r", For: 10})
	since := r.m.State().Group("g1").Maintenance
	r.now += 1000
	if again = r.with(h, &SetMaintenance{Group: "g1", On: true, By: "ada", Reason: "r", For: 10}); again.Code != hold.Code || r.m.State().Group("g1").Maintenance != since {
		t.Errorf("a maintenance was prolonged by a replay: %+v", r.m.State().Group("g1").Maintenance)
	}
}

func TestBadInputDatasourceTwice(t *testing.T) {
	r := newRig(t)
	r.publish(0, group("g1", "a:1", "b:1"))
	for name, groups := range map[string][]GroupSpec{
		"in one group":          {group("g1", "a:1", "b:1", "a:1")},
		"in two groups":         {group("g1", "a:1", "b:1"), group("g2", "c:1", "b:1")},
		"a group twice":         {group("g1", "a:1", "b:1"), group("g1", "a:1", "b:1")},
		"in a new group's list": {group("g1", "a:1"), group("g2", "x:1", "x:1")},
	} {
		before := r.m.State().Group("g1")
		r.publish(CodeConfigCheck, groups...)
		if r.m.State().Group("g1") != before || r.m.State().Group("g2") != nil {
			t.Errorf("%s: something of it was applied", name)
		}
	}
}

func TestBadInputTwoGroupsShareADatabase(t *testing.T) {
	r := newRig(t)
	r.publish(0, group("g1", "a:1", "b:1"))
	got := r.do(CodeConfigCheck, &PublishConfig{Cluster: "other", ConfigID: "1.0.0", Content: []byte("x"), Groups: []GroupSpec{group("h1", "z:1", "b:1")}})
	if !strings.Contains(got.Msg, "b:1 is in host groups g1 and h1") {
		t.Errorf("it says %q", got.Msg)
	}
	got = r.do(CodeConfigCheck, &PublishConfig{Cluster: "other", ConfigID: "1.0.0", Content: []byte("x"), Groups: []GroupSpec{group("g1", "z:1")}})
	if !strings.Contains(got.Msg, "belongs to cluster c") {
		t.Errorf("it says %q", got.Msg)
	}
}

// A clock that jumps back must not forbid switches for as long as it jumped: another leader's may be hours behind.
func TestBadInputClockBehindTheCooldown(t *testing.T) {
	g := &HostGroup{LastEnd: int64(100 * time.Hour), Settings: Settings{Cooldown: int64(10 * time.Second)}}
	for _, c := range []struct {
		now  time.Duration
		want time.Duration
	}{{100*time.Hour + 4*time.Second, 6 * time.Second}, {100*time.Hour - 2*time.Second, 12 * time.Second}, {76 * time.Hour, 0}, {124 * time.Hour, 0}} {
		if got := g.CooldownLeft(int64(c.now)); got != c.want {
			t.Errorf("at %v: %v, want %v", c.now, got, c.want)
		}
	}
}
