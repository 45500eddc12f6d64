package keeper

import (
	"testing"
	"time"
)

func TestRoundsLate(t *testing.T) {
	start := time.Now()
	r := rounds{interval: time.Second}
	for i, test := range []struct {
		at   time.Duration
		want bool
	}{
		{0, false}, {time.Second, false}, {2*time.Second + 400*time.Millisecond, false},
		{5 * time.Second, true}, {6 * time.Second, false},
	} {
		if got := r.late(start.Add(test.at)); got != test.want {
			t.Errorf("round %d at %v: late %v", i, test.at, got)
		}
	}
}

// A leader that was paused does nothing about the silence of others before it
// has proven that it leads; then their time begins anew.
func TestResumeAfterPause(t *testing.T) {
	f := world(t, 3, plainDocument, tuning{})
	f.settled()
	leader := f.leader()
	for _, m := range f.members {
		k := m.keeper.Load()
		k.presence.mu.Lock()
		k.presence.since = time.Now().Add(-time.Hour) // it stood still for an hour
		k.presence.proxies, k.presence.agents = map[string]proxyBeat{}, map[string]agentBeat{}
		k.presence.mu.Unlock()
		leads := k.resume(within(t))
		if m == leader {
			eventually(t, "it proves that it leads", func() bool { return leads || k.resume(within(t)) || f.leader() != leader })
			if _, age, heard := k.presence.proxy("nobody"); !heard && age > time.Minute && f.leader() == leader {
				t.Errorf("silence is counted from before the pause: %v", age)
			}
		} else if leads && f.leader() == leader {
			t.Errorf("%s does not lead, and resumes", m.name)
		}
	}
}
