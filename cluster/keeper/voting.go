package keeper

import (
	"context"
	"fmt"
	"sync"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// voting asks every proxy for its vote, unless an operator or the
// configuration made that needless. No answer is no vote, never an abort.
func (d *driver) voting(ctx context.Context, s *fsm.Switch) outcome {
	if err := d.aborted(); err != nil {
		return undo(fsm.StateRolledBack, err)
	}
	rule := ""
	switch {
	case s.ByOperator:
		rule = "skipped: operator"
	case !s.Settings.NeedVote:
		rule = "skipped: config"
	}
	if rule != "" {
		out := next(fsm.StateStopping, rule)
		out.VoteRule = rule
		return out
	}
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		asked   int
		yes     int
		failure error
	)
	for _, p := range d.cfg.Store.State().Proxies(s.Cluster) {
		if p.Status == fsm.StatusUnreg {
			continue
		}
		asked++
		all.Go(func() {
			v := d.vote(ctx, s, p)
			_, err := refused(d.cfg.Store.ProposeInTerm(ctx, d.term, fsm.Header{}, &fsm.CastVote{Generation: s.Generation, Vote: v}))
			mu.Lock()
			defer mu.Unlock()
			if v.Vote {
				yes++
			}
			if err != nil {
				failure = fmt.Errorf("record the vote of %s: %w", v.Proxy, err)
			}
		})
	}
	all.Wait()
	switch {
	case d.aborted() != nil:
		return undo(fsm.StateRolledBack, d.aborted())
	case failure != nil:
		return undo(fsm.StateRolledBack, failure)
	}
	rule = fmt.Sprintf("%d of %d proxies voted for it; more than %d%% needed, or all", yes, asked, s.Settings.VoteRatio)
	out := next(fsm.StateStopping, rule)
	if passed := yes > 0 && (yes*100 > asked*s.Settings.VoteRatio || yes == asked); !passed {
		out = undo(fsm.StateRolledBack, api.Errorf(api.TooFewVotes, "too few votes: %s", rule))
	}
	out.VoteRule = rule
	return out
}

// vote is one proxy's vote, or why there is none.
func (d *driver) vote(ctx context.Context, s *fsm.Switch, p *fsm.Proxy) fsm.Vote {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.VoteTimeout)
	defer cancel()
	v := fsm.Vote{Switch: s.ID, Proxy: p.ID, FromIndex: s.From, ToIndex: s.To}
	var answer api.ProxyVote
	err := order(ctx, &d.proxies, proxyKey(p.Cluster, p.ID), api.ProxyVoteFetch, d.meta(), api.ProxyVoteFetchRequest{HostGroup: s.Group, ToIndex: s.To}, &answer)
	switch {
	case err != nil:
		v.NoAnswer = err.Error()
		return v
	case answer.HostGroup != s.Group || answer.FromIndex != s.From || answer.ToIndex != s.To:
		v.NoAnswer = fmt.Sprintf("it voted on %s from %d to %d", answer.HostGroup, answer.FromIndex, answer.ToIndex)
		return v
	}
	v.Vote, v.Failures, v.Error, v.TargetReachable = answer.Vote, answer.Failures, answer.Error, answer.TargetReachable
	if answer.LastSuccess != nil {
		v.LastSuccess = answer.LastSuccess.UnixNano()
	}
	return v
}
