package keeper

import (
	"fmt"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// ballot answers a vote with its evidence.
func ballot(yes bool, last *time.Time) answer {
	return says(api.ProxyVote{Vote: yes, HostGroup: "orders", FromIndex: 0, ToIndex: 1, LastSuccess: last, Failures: 3, Error: "2013 lost", TargetReachable: yes})
}

func TestVoting(t *testing.T) {
	last := time.Now().UTC().Truncate(time.Millisecond)
	no, yes := ballot(false, &last), ballot(true, nil)
	refuse := refuses(api.NotReady, "no datasource yet")
	other := says(api.ProxyVote{Vote: true, HostGroup: "orders", FromIndex: 2, ToIndex: 1})
	tests := []struct {
		name    string
		ratio   int
		answers []answer // of p1, p2 and so on
		pass    bool
	}{
		{"all", 50, []answer{yes, yes}, true},
		{"all, ratio 100", 100, []answer{yes, yes}, true},
		{"half is not more than half", 50, []answer{yes, no}, false},
		{"more than half", 50, []answer{yes, yes, no}, true},
		{"no answer is no vote", 50, []answer{yes, refuse, silent}, false},
		{"no answer is no veto", 50, []answer{yes, yes, silent}, true},
		{"a vote on something else", 50, []answer{yes, yes, other, other}, false},
		{"nobody", 1, []answer{no, no}, false},
		{"not all of 100", 100, []answer{yes, yes, no}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			content := document(db0+", "+db1+", "+db2, "", fmt.Sprintf("  vote_approve_ratio: %d", test.ratio))
			f := world(t, 1, content, tuning{config: func(c *Config) { c.VoteTimeout = 200 * time.Millisecond }})
			votes := 0
			for i, a := range test.answers {
				if i >= len(f.proxies) {
					f.proxies = append(f.proxies, f.proxy(fmt.Sprintf("p%d", i+1)))
				}
				f.proxies[i].on(api.ProxyVoteFetch, a)
			}
			body := api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", ToIndex: 1, Reason: "probes failed"}
			err := send(t, f.proxies[0].client, api.ClusterDatasourcesSwitch, nil, body, nil)
			s := f.show("orders-1")
			if test.pass {
				wantCode(t, "the answer", err, api.OK)
				wantStates(t, s, wayDone...)
			} else {
				wantCode(t, "the answer", err, api.TooFewVotes)
				wantStates(t, s, undoneFrom(fsm.StateVoting)...)
			}
			if len(s.Votes) != len(test.answers) {
				t.Fatalf("%d votes are recorded, want %d: %+v", len(s.Votes), len(test.answers), s.Votes)
			}
			for _, v := range s.Votes {
				if v.Vote {
					votes++
				}
				switch {
				case v.NoAnswer != "" && v.Vote, v.NoAnswer == "" && (v.Failures != 3 || v.Error != "2013 lost" || v.HostGroup != "orders" || v.ToIndex != 1):
					t.Errorf("vote %+v", v)
				case v.NoAnswer == "" && !v.Vote && (v.LastSuccess == nil || !v.LastSuccess.Equal(last)):
					t.Errorf("its last success is %v, want %v", v.LastSuccess, last)
				}
			}
			if want := fmt.Sprintf("%d of %d proxies voted for it; more than %d%% needed, or all", votes, len(test.answers), test.ratio); s.VoteRule != want {
				t.Errorf("the rule is recorded as %q, want %q", s.VoteRule, want)
			}
		})
	}
}

func TestVotingSkipped(t *testing.T) {
	t.Run("operator", func(t *testing.T) {
		f := world(t, 1, plainDocument, tuning{})
		if s := f.ended(f.startSwitch(1)); s.VoteRule != "skipped: operator" || len(s.Votes) != 0 || len(f.tape.of(api.ProxyVoteFetch)) != 0 {
			t.Errorf("rule %q, votes %v", s.VoteRule, s.Votes)
		}
	})
	t.Run("config", func(t *testing.T) {
		f := world(t, 1, document(db0+", "+db1, "", "  need_vote: false"), tuning{})
		body := api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", ToIndex: 1, Reason: "r"}
		wantCode(t, "the answer", send(t, f.proxies[0].client, api.ClusterDatasourcesSwitch, nil, body, nil), api.OK)
		if s := f.show("orders-1"); s.VoteRule != "skipped: config" || len(s.Votes) != 0 || len(f.tape.of(api.ProxyVoteFetch)) != 0 {
			t.Errorf("rule %q, votes %v", s.VoteRule, s.Votes)
		}
	})
}

// TestUnregisteredProxiesHaveNoVote: they are neither asked nor counted.
func TestUnregisteredProxiesHaveNoVote(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	f.must(api.ProxyDrop, api.ProxyRef{ID: "p2", Reason: "repair"}, nil)
	body := api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", ToIndex: 1, Reason: "r"}
	wantCode(t, "the answer", send(t, f.proxies[0].client, api.ClusterDatasourcesSwitch, nil, body, nil), api.OK)
	if s := f.show("orders-1"); len(s.Votes) != 1 || s.Votes[0].Proxy != "p1" {
		t.Errorf("votes %+v", s.Votes)
	}
}
