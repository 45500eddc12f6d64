package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/api"
)

// hooksOver bounds the time from the request of a switch, whose leader is killed, until every hook was told all.
const hooksOver = 20 * time.Second

// told is what a hook is told, as far as it is looked at here.
type told struct {
	ID         string `json:"id"`
	Event      string `json:"event"`
	Switch     string `json:"switch"`
	Generation uint64 `json:"generation"`
	Keeper     string `json:"keeper"`
}

// pager is a webhook, which calls trap when it is told of an event for the first time, before it answers.
type pager struct {
	mu    sync.Mutex
	heard []told
	trap  map[string]func(told)
}

func (p *pager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e told
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.heard = append(p.heard, e)
	trap := p.trap[e.Event]
	delete(p.trap, e.Event)
	p.mu.Unlock()
	if trap != nil {
		trap(e)
	}
}

// of is what was heard of a switch.
func (p *pager) of(id string) []told {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.heard), func(e told) bool { return e.Switch != id })
}

// TestHooks kills the leading keeper while a hook is told of something, so that nobody knows whether it was: the next leader
// ends the switch, and tells again what may have been told.
func TestHooks(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	p := &pager{trap: map[string]func(told){}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	list := func(subjects ...string) string {
		var all []string
		for _, s := range subjects {
			all = append(all, s+"/before", s+"/after", s+"/failure")
		}
		return strings.Join(all, ", ")
	}
	steps := list("switch", "preflight", "voting", "stopping", "fencing", "catching-up", "promoting", "switching", "recovering", "repointing", "rolling-back")
	file := filepath.Join(dir, "hooks.yaml")
	// The program hangs for longer than it may, in the hands of the leader that is killed too.
	text := fmt.Sprintf("hooks:\n  - {name: pager, on: [%s], url: %q}\n  - {name: log, on: [%s], program: [/bin/sh, -c, 'echo $ZERO_ID $ZERO_KEEPER >> %s']}\n"+
		"  - {name: hangs, on: [stopping/before], program: [/bin/sleep, '600'], timeout: 2s}\n", steps, server.URL, steps, filepath.Join(dir, "told"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newScene(t, ctx, stage.Config{Proxies: 1, KeeperArgs: []string{"--hooks", file}})
	var acts []act
	for _, event := range []string{"switch/before", "stopping/before", "catching-up/after", "promoting/after", "switch/after"} {
		acts = append(acts, act{"leader killed at " + event, func(t *testing.T, ctx context.Context) {
			s.killedWhileTelling(t, ctx, p, event, filepath.Join(dir, "told"))
		}})
	}
	s.play(t, ctx, append(acts, act{"stop", s.stopAll}))
}

func (s *scene) killedWhileTelling(t *testing.T, ctx context.Context, p *pager, event, log string) {
	leader, err := s.Fleet.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	killed := make(chan error, 1)
	p.mu.Lock()
	p.trap[event] = func(told) { killed <- leader.Kill() }
	p.mu.Unlock()
	to := 1 - s.group(t, ctx).Writable
	begin := time.Now()
	id := s.started(t, ctx, to)
	select {
	case err := <-killed:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(hooksOver):
		t.Fatalf("nobody told of %s", event)
	}
	record := s.reaches(t, ctx, hooksOver, id, over)
	ended := time.Since(begin)
	if record.State != "done" && record.State != "rolled-back" {
		t.Errorf("it ended in %s", record.State)
	}
	record = s.reaches(t, ctx, hooksOver, id, func(r api.Switch) bool { return len(missing(r, "pager")) == 0 && len(missing(r, "log")) == 0 })
	// At least once for everything that happened, by the same id, and once more what was on its way when the leader died.
	heard, times := p.of(id), map[string]int{}
	for _, e := range heard {
		times[e.Event]++
		if want := fmt.Sprintf("%s/%d/%s", id, record.Generation, e.Event); e.ID != want || e.Generation != record.Generation {
			t.Errorf("told %+v, want the id %s", e, want)
		}
	}
	for _, want := range eventsOf(record) {
		if times[want] == 0 {
			t.Errorf("nobody was told of %s", want)
		}
	}
	again := slices.IndexFunc(heard, func(e told) bool { return e.Event == event && e.Keeper != leader.Name() })
	if times[event] < 2 || again < 0 {
		t.Errorf("%s was told %d times, want once more by the next leader: %+v", event, times[event], heard)
	}
	said, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range eventsOf(record) {
		if !strings.Contains(string(said), fmt.Sprintf("%s/%d/%s ", id, record.Generation, want)) {
			t.Errorf("the program was not told of %s", want)
		}
	}
	t.Logf("%s was told of %s and killed; the switch ended %s %v after its request, all was told %v after it, %d events in %d requests",
		leader.Name(), event, record.State, ended.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond), len(times), len(heard))
	if err := leader.Start(ctx); err != nil {
		t.Fatal(err)
	}
}

// eventsOf are the events of a switch that is over, by its record's steps, but for the end of each step, whose phase depends on the next.
func eventsOf(r api.Switch) []string {
	list := []string{"switch/before"}
	for _, step := range r.Steps {
		switch step.State {
		case "requested":
		case "done":
			list = append(list, "switch/after")
		case "rolled-back":
			list = append(list, "switch/failure")
		default:
			list = append(list, step.State+"/before")
		}
	}
	return list
}

// missing are the events whose result, of that hook, is not in the record.
func missing(r api.Switch, hook string) []string {
	return slices.DeleteFunc(eventsOf(r), func(event string) bool {
		return slices.ContainsFunc(r.Hooks, func(h api.SwitchHook) bool { return h.Hook == hook && h.Event == event && h.OK })
	})
}
