package keeper

import (
	"slices"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// wantRule fails unless the switch was rolled back in its preflight by that rule.
func wantRule(t *testing.T, s api.Switch, rule string) {
	t.Helper()
	i := slices.IndexFunc(s.Checks, func(c api.Check) bool { return c.Rule == rule && !c.OK })
	if s.State != fsm.StateRolledBack || i < 0 || slices.Contains(states(s), fsm.StateStopping) {
		t.Errorf("%s (%d %s), want the rule %q to fail; checks %+v", s.State, s.Code, s.Error, rule, s.Checks)
	}
}

// Two addresses of one server: by two names it stands in the group twice, or two
// servers have one id. Either way an order could reach the wrong one.
func TestBadInputServerTwice(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{fsm.KindPlanned, fsm.KindFailover} {
		f := world(t, 1, plainDocument, brisk())
		f.agents[2].set(func(a *actor) { a.serverID = "server-1" })
		f.agents[2].beat()
		id := ""
		if kind == fsm.KindPlanned {
			id = f.startSwitch(1)
		} else {
			id = f.failOver(1, "")
		}
		s := f.ended(id)
		if wantRule(t, s, ruleDistinct); !strings.Contains(s.Error, db1+" and "+db2) {
			t.Errorf("%s: it says %q", kind, s.Error)
		}
	}
}

func brisk() tuning { return tuning{waits: func(w *waits) { w.grace = 1e8 }} }

// The server behind the candidate's address is another one than was named.
func TestBadInputCandidateWithAnotherServerID(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, brisk())
	entered, release := f.agents[0].block(api.StateFetch)
	defer release()
	id := f.startSwitch(1)
	<-entered // the request named server-1; before its second look another server is there
	f.members[0].stop()
	f.agents[1].set(func(a *actor) { a.serverID = "server-9" })
	f.members[0].replaceKeeper()
	eventually(t, "the other server is known", func() bool { _, _ = f.agents[1].tryBeat(); return f.state().Agent(db1).ServerID == "server-9" })
	release()
	s := f.ended(id)
	if s.State == fsm.StateDone {
		t.Errorf("it was switched to a server that nobody named: %+v", s.Checks)
	}
}

// What its agent finds of another version or GTID domain refuses it, and is said.
func TestBadInputCandidateOfAnotherVersionOrDomain(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"version", "gtid_domain_id", "server_id"} {
		f := world(t, 1, plainDocument, brisk())
		f.agents[1].on(api.PreflightDatasource, finding(rule))
		wantRule(t, f.ended(f.startSwitch(1)), "candidate "+rule)
	}
}

// A proxy that votes on something else than it was asked about has not voted.
func TestBadInputVoteOnAnotherSwitch(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, brisk())
	for _, p := range f.proxies {
		p.on(api.ProxyVoteFetch, says(api.ProxyVote{Vote: true, HostGroup: "orders", FromIndex: 1, ToIndex: 0, TargetReachable: true}))
	}
	wantCode(t, "votes on another way", f.proxyAsks(fsm.KindPlanned, 1), api.TooFewVotes)
	if s := f.show("orders-1"); len(s.Votes) != 2 || !strings.Contains(s.Votes[0].NoAnswer, "it voted on") {
		t.Errorf("votes: %+v", s.Votes)
	}
}

// A request of a proxy that names the primary of before, or comes again after the
// switch it asked for, is refused and begins nothing.
func TestBadInputRequestOfBefore(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, brisk())
	f.ended(f.startSwitch(1))
	f.cooldown()
	body := api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", FromIndex: 0, ToIndex: 1, Reason: "my probes failed a while ago"}
	for range 2 {
		wantCode(t, "from the old primary", send(t, f.proxies[0].client, api.ClusterDatasourcesSwitch, nil, body, nil), api.InvalidSwitch)
	}
	if g := f.group(); g.Stamp.Generation != 1 || g.Detail.Refused == nil || g.Detail.Refused.Code != api.InvalidSwitch || g.Detail.Refused.By != "proxy p1" {
		t.Errorf("the group: %+v, refused %+v", g.Stamp, g.Detail.Refused)
	}
}
