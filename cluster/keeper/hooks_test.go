package keeper

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/cluster/keeper/hook"
	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// ear is a webhook's server.
type ear struct {
	url string

	mu    sync.Mutex
	heard []hook.Event
	block map[string]chan struct{} // events whose first delivery waits
	fail  int                      // deliveries that fail
}

func newEar(t *testing.T) *ear {
	e := &ear{block: map[string]chan struct{}{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event hook.Event
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
			t.Error(err)
		}
		e.mu.Lock()
		e.heard = append(e.heard, event)
		wait := e.block[event.Event]
		delete(e.block, event.Event)
		failing := e.fail > 0
		e.fail--
		e.mu.Unlock()
		if wait != nil {
			select {
			case <-wait:
			case <-r.Context().Done():
			}
		}
		if failing {
			http.Error(w, "not now", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

func (e *ear) events() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []string
	for _, event := range e.heard {
		list = append(list, event.Event)
	}
	return list
}

func withHooks(specs ...hook.Spec) tuning {
	return tuning{config: func(c *Config) { c.Hooks = specs }}
}

// everyEvent is all that a hook can be told of.
func everyEvent() []string {
	var list []string
	for _, subject := range append([]string{hook.Switch}, HookSteps...) {
		for _, phase := range []string{hook.Before, hook.After, hook.Failure} {
			list = append(list, subject+"/"+phase)
		}
	}
	return list
}

// results waits until all of a switch's hooks were told and recorded.
func (f *fleet) results(id string) map[string]fsm.HookResult {
	f.t.Helper()
	eventually(f.t, "the hooks of "+id+" are over", func() bool { s := f.state().Switch(id); return s != nil && !s.HooksOpen })
	got := map[string]fsm.HookResult{}
	for _, r := range f.state().Switch(id).Hooks {
		got[r.Hook+" "+r.Event] = r
	}
	return got
}

func TestHooksAreTold(t *testing.T) {
	t.Parallel()
	e := newEar(t)
	f := world(t, 1, plainDocument, withHooks(
		hook.Spec{Name: "all", On: everyEvent(), URL: e.url},
		hook.Spec{Name: "some", On: []string{"switch/after", "switch/failure"}, Program: []string{"/bin/echo", "hello"}},
		hook.Spec{Name: "broken", On: []string{"switch/before", "promoting/before"}, Program: []string{"/does/not/exist"}},
	))
	s := f.ended(f.startSwitch(1))
	wantStates(t, s, wayDone...)
	got := f.results(s.ID)
	want := []string{"switch/before"}
	for _, step := range HookSteps[:len(HookSteps)-1] {
		want = append(want, step+"/before", step+"/after")
	}
	if want = append(want, "switch/after"); !slices.Equal(e.events(), want) {
		t.Errorf("told %v\nwant %v", e.events(), want)
	}
	if r := got["some switch/after"]; !r.OK || r.Note != "hello" || r.Keeper != "k1" || len(got) != len(want)+3 {
		t.Errorf("recorded: %+v", got)
	}
	if r := got["broken promoting/before"]; r.OK || !strings.Contains(r.Note, "no such file") {
		t.Errorf("the broken one: %+v", r)
	}
	first := e.heard[0]
	if first.ID != "orders-1/1/switch/before" || first.From != db0 || first.To != db1 || first.ToIndex != 1 || first.Reason != "maintenance" || first.Keeper != "k1" {
		t.Errorf("the event: %+v", first)
	}
	if shown := f.show(s.ID); len(shown.Hooks) != len(got) {
		t.Errorf("shown: %+v", shown.Hooks)
	}

	f.cooldown()
	f.agents[0].on(api.WaitPosition, refuses(api.PositionTimeout, "no"))
	s = f.ended(f.startSwitch(0))
	f.results(s.ID)
	events := e.events()[len(want):]
	for _, event := range []string{"catching-up/failure", "rolling-back/before", "rolling-back/after", "switch/failure"} {
		if !slices.Contains(events, event) {
			t.Errorf("%s is not among %v", event, events)
		}
	}
	if last := e.heard[len(e.heard)-1]; last.Error == "" {
		t.Errorf("the failure says nothing: %+v", last)
	}
}

// A hook that hangs is in nobody's way: the switch is over long before.
func TestHookThatHangs(t *testing.T) {
	t.Parallel()
	e := newEar(t)
	for _, event := range []string{"switch/before", "stopping/before", "fencing/before"} {
		e.block[event] = make(chan struct{})
	}
	f := world(t, 1, plainDocument, withHooks(hook.Spec{Name: "slow", On: []string{"switch/before", "stopping/before", "fencing/before"}, URL: e.url, Timeout: 30 * time.Second}))
	s := f.ended(f.startSwitch(1))
	if wantStates(t, s, wayDone...); s.TotalMS > 20_000 || len(e.events()) != 1 {
		t.Errorf("it took %v ms; told %v", s.TotalMS, e.events())
	}
	if g := f.state().Switch(s.ID); len(g.Hooks) != 0 || !g.HooksOpen {
		t.Errorf("recorded before they were over: %+v", g.Hooks)
	}
	f.members[0].stop() // and it does not keep a term from ending
	f.members[0].replaceKeeper()
}

// A webhook that is down is tried again.
func TestHookIsTriedAgain(t *testing.T) {
	t.Parallel()
	e := newEar(t)
	e.fail = 1
	f := world(t, 1, plainDocument, withHooks(hook.Spec{Name: "flaky", On: []string{"switch/after"}, URL: e.url}))
	id := f.startSwitch(1)
	f.ended(id)
	if r := f.results(id)["flaky switch/after"]; !r.OK || r.Tries != 2 || len(e.events()) != 2 {
		t.Errorf("%+v, told %v", r, e.events())
	}
}

func TestHookThatSaysNo(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "open")
	veto := hook.Spec{Name: "gate", On: []string{"switch/before", "switch/failure"}, Program: []string{"/bin/sh", "-c", `test -e "$1" || { echo frozen until monday; exit 1; }`, "sh", gate}, Veto: true}
	other := hook.Spec{Name: "other", On: []string{"switch/before"}, Program: []string{"/bin/false"}}
	f := world(t, 1, plainDocument, withHooks(veto, other))
	s := f.ended(f.startSwitch(1))
	wantStates(t, s, fsm.StateRequested, fsm.StateRolledBack)
	if s.Code != api.HookVeto || !strings.Contains(s.Error, "gate: hook failed") || !strings.Contains(s.Error, "frozen until monday") || strings.Contains(s.Error, "other") {
		t.Errorf("%d %s", s.Code, s.Error)
	}
	got := f.results(s.ID)
	if r := got["gate switch/before"]; r.OK || r.Tries != 1 {
		t.Errorf("recorded: %+v", got)
	}
	if _, told := got["gate switch/failure"]; !told {
		t.Errorf("not told of the failure: %+v", got)
	}
	if len(f.tape.of(api.StateFetch)) != 0 {
		t.Error("the preflight began")
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.cooldown()
	s = f.ended(f.startSwitch(1))
	if wantStates(t, s, wayDone...); !f.results(s.ID)["gate switch/before"].OK {
		t.Errorf("recorded: %+v", s.Hooks)
	}
	f.tape.clear()
	f.cooldown()
	if answer := f.dryRun(api.SwitchStartRequest{ToIndex: 0}); len(answer.Warnings) != 1 || !strings.Contains(answer.Warnings[0], "gate") {
		t.Errorf("a dry run: %q", answer.Warnings)
	}
}

// A leader that is lost in the middle leaves the rest to the next, and what was
// under way is told again; consumers know it by its id.
func TestHooksGoOnUnderANewLeader(t *testing.T) {
	t.Parallel()
	e := newEar(t)
	e.block["preflight/after"] = make(chan struct{})
	on := []string{"switch/before", "preflight/before", "preflight/after", "stopping/before", "switch/after"}
	f := world(t, 1, plainDocument, withHooks(hook.Spec{Name: "pager", On: on, URL: e.url, Timeout: 30 * time.Second}))
	id := f.startSwitch(1)
	f.ended(id)
	eventually(t, "the third is under way", func() bool { return len(e.events()) == 3 })
	eventually(t, "the first two are recorded", func() bool { return len(f.state().Switch(id).Hooks) == 2 })
	f.members[0].stop()
	f.members[0].replaceKeeper()
	f.results(id)
	want := []string{"switch/before", "preflight/before", "preflight/after", "preflight/after", "stopping/before", "switch/after"}
	if got := e.events(); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	if a, b := e.heard[2], e.heard[3]; a.ID != b.ID || a.ID == e.heard[1].ID {
		t.Errorf("ids %q and %q", a.ID, b.ID)
	}
}

// What is too old is not told, and that is recorded.
func TestHookOfLongAgo(t *testing.T) {
	t.Parallel()
	e := newEar(t)
	block := make(chan struct{})
	e.block["switch/before"] = block
	f := world(t, 1, plainDocument, withHooks(hook.Spec{Name: "late", On: []string{"switch/before", "switch/after"}, URL: e.url, Timeout: 30 * time.Second}))
	id := f.startSwitch(1)
	f.ended(id)
	f.clock.advance(hookHorizon)
	close(block)
	if r := f.results(id)["late switch/after"]; r.OK || !strings.Contains(r.Note, "not told") || len(e.events()) != 1 {
		t.Errorf("%+v, told %v", r, e.events())
	}
}

func TestHooksThatCannotWork(t *testing.T) {
	one := hook.Spec{Name: "a", On: []string{"switch/after"}, Program: []string{"/bin/true"}}
	for name, specs := range map[string][]hook.Spec{
		"twice": {one, one}, "too many": slices.Repeat([]hook.Spec{one}, hook.MaxHooks+1), "no event": {{Name: "a", Program: []string{"/bin/true"}}},
	} {
		if err := ValidateHooks(specs); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for state := range steps {
		if state != fsm.StateRequested && !slices.Contains(HookSteps, state) {
			t.Errorf("hooks cannot be told of %s", state)
		}
	}
}
