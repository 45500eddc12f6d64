package keeper

import (
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// stubborn are waits that a test would notice.
func stubborn(w *waits) {
	brief(w)
	w.role, w.point, w.inform, w.repoint = time.Minute, time.Minute, time.Minute, time.Minute
}

// A proxy whose process is stopped was waited for until its lease was out. It is not
// waited for again, neither to be pointed, for which all others are held, nor to recover.
func TestStoppedProxyIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument("  need_vote: false\n"), tuning{config: short.config, waits: stubborn})
	silence := f.beating()
	for _, name := range []string{api.StopWritingProxyDatasource, api.SwitchProxyDatasource, api.RecoverWritingProxyDatasource, api.ProxyVoteFetch} {
		f.proxies[1].on(name, silent)
	}
	silence(f.proxies[1])
	f.kill()
	s := f.opened() // in less than the minute that each wait would take
	wantStates(t, s, wayDone...)
	if note := noteAt(s, fsm.StateRecovering); !strings.Contains(note, "1 proxies write again; not yet: proxy p2") {
		t.Errorf("the record says %q", note)
	}
}

// What a switch tells replicas last is told by heartbeats as well, and the record of the
// group does not change before it is over: nobody is waited for who does not come.
func TestSwitchEndsWithoutThoseWhoDoNotCome(t *testing.T) {
	for _, test := range []struct {
		name  string
		who   int
		ended func(f *fleet) api.Switch
		waits func(w *waits)
	}{
		{"an agent that is stopped", 2, func(f *fleet) api.Switch { return f.ended(f.startSwitch(1)) }, stubborn},
		{"the old primary of a failover, which hangs", 0, func(f *fleet) api.Switch {
			f.beating()
			f.kill()
			return f.opened()
		}, func(w *waits) { stubborn(w); w.inform = 100 * time.Millisecond }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := world(t, 1, autoDocument(""), tuning{config: short.config, waits: test.waits})
			f.agents[test.who].on(api.FollowDatasource, silent)
			s := test.ended(f)
			wantStates(t, s, wayDone...)
			if note := noteAt(s, fsm.StateRepointing); !strings.Contains(note, "1 replicas follow") || !strings.Contains(note, f.agents[test.who].hello.Address) {
				t.Errorf("the record says %q", note)
			}
		})
	}
}

// A commit on the new primary may need the old one to acknowledge it: then that is told
// to follow at once.
func TestFirstFollowers(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	d := &driver{Keeper: f.leader().keeper.Load()}
	s := &fsm.Switch{Group: "orders", Members: []string{db0, db1, db2}, FromAddress: db0, ToAddress: db1}
	if got := d.firstFollowers(s); len(got) != 1 || got[0] != db2 {
		t.Errorf("%v are told first, want %s, which acknowledges", got, db2)
	}
	s.Members = []string{db0, db1}
	if got := d.firstFollowers(s); len(got) != 1 || got[0] != db0 {
		t.Errorf("of two servers %v are told first, want %s", got, db0)
	}
	d.presence.mu.Lock()
	d.presence.agents[db2] = agentBeat{at: time.Now().Add(-time.Hour)}
	d.presence.mu.Unlock()
	s.Members = []string{db0, db1, db2}
	if got := d.firstFollowers(s); len(got) != 2 {
		t.Errorf("%v are told first, though %s is silent: nobody acknowledges", got, db2)
	}
}
