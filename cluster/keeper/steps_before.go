package keeper

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// preflight examines everything that can be known before anything is touched.
// Every rule that was looked at is recorded with its input and its verdict.
func (d *driver) preflight(ctx context.Context, s *fsm.Switch) outcome {
	ctx, cancel := context.WithTimeout(ctx, 2*d.cfg.CallTimeout)
	defer cancel()
	if failover(s) {
		return d.preflighted(d.examineFailover(ctx, s))
	}
	d.gather(ctx, s)
	checks := []fsm.Check{d.checkProxies(s), checkDistinct(d.cfg.Store.State(), s)}
	from, candidate := d.source(s), d.candidate(s)
	checks = append(checks, identityCheck("primary identity", from, d.cfg.Store.State()), identityCheck("candidate identity", candidate, d.cfg.Store.State()), d.checkMember(s))
	servers, err := d.examineServers(ctx, s, from)
	if checks = append(checks, servers...); err != nil {
		checks = append(checks, fsm.Check{Rule: "both agents answer", Input: err.Error(), Detail: "agents must be up and reach their servers"})
	} else {
		checks = append(checks, d.checkLoad(ctx, s), d.checkBinlog(ctx, s))
	}
	return d.preflighted(checks)
}

// preflighted is the outcome of a preflight with these rules.
func (d *driver) preflighted(checks []fsm.Check) outcome {
	out := next(fsm.StateVoting, "")
	if err := d.aborted(); err != nil {
		out = undo(fsm.StateRolledBack, err)
	} else if i := slices.IndexFunc(checks, func(c fsm.Check) bool { return !c.OK }); i >= 0 {
		failed := 0
		for _, c := range checks {
			if !c.OK {
				failed++
			}
		}
		code := api.PreflightFailed
		switch checks[i].Rule {
		case ruleProxies:
			code = api.ClusterStatus
		case ruleLoad:
			code = api.LoadHigh
		case ruleLoadFetch:
			code = api.LoadFetchFailed
		case ruleBinlog:
			code = api.BinlogInconsistent
		case ruleGone:
			code = api.PrimaryAlive
		case ruleReplicas, ruleDegraded:
			code = api.MayLoseWrites
		case ruleMember:
			code = api.NotRecorded
		}
		out = undo(fsm.StateRolledBack, api.Errorf(code, "%d of %d preflight rules failed, first %q: %s", failed, len(checks), checks[i].Rule, detailOf(checks[i])))
	}
	out.Checks = checks
	if out.Note == "" {
		out.Note = fmt.Sprintf("%d rules passed", len(checks))
	}
	return out
}

func detailOf(c fsm.Check) string {
	if c.Detail == "" {
		return c.Input
	}
	return c.Detail + " (" + c.Input + ")"
}

const (
	ruleProxies = "every proxy is up"
	ruleLoad    = "candidate load"
	ruleBinlog  = "candidate binlog delay"

	ruleLoadFetch = "candidate load is known"
)

// gather waits for the connections of those that are up, for a moment: after a
// change of the leader they come one by one.
func (d *driver) gather(ctx context.Context, s *fsm.Switch) {
	ctx, cancel := context.WithTimeout(ctx, d.waits.grace)
	defer cancel()
	for !d.gathered(s) && ctx.Err() == nil {
		pause(ctx, orderPauseMin)
	}
}

func (d *driver) gathered(s *fsm.Switch) bool {
	for _, address := range []string{s.FromAddress, s.ToAddress} {
		if _, ok := d.agents.Get(address); !ok {
			return false
		}
	}
	for _, p := range d.cfg.Store.State().Proxies(s.Cluster) {
		if _, ok := d.proxies.Get(proxyKey(p.Cluster, p.ID)); p.Status == fsm.StatusUp && !ok {
			return false
		}
	}
	return true
}

// checkProxies: every proxy of the cluster must be up and connected, else some
// would not hear StopWriting (original, C2 step 3).
func (d *driver) checkProxies(s *fsm.Switch) fsm.Check {
	check := fsm.Check{Rule: ruleProxies, OK: true}
	count := 0
	var missing []string
	for _, p := range d.cfg.Store.State().Proxies(s.Cluster) {
		if p.Status == fsm.StatusUnreg {
			continue
		}
		count++
		if _, ok := d.proxies.Get(proxyKey(p.Cluster, p.ID)); p.Status != fsm.StatusUp || !ok {
			check.OK = false
			missing = append(missing, fmt.Sprintf("%s is %s (connected: %v)", p.ID, p.Status, ok))
		}
	}
	check.Detail = strings.Join(missing, "; ")
	check.Input = fmt.Sprintf("%d proxies in cluster %s", count, s.Cluster)
	if count == 0 {
		check.OK, check.Detail = false, "no proxy is registered: there is nobody to switch"
	}
	return check
}

// identityCheck: the server behind an address is the one that the switch was
// requested for (R24).
func identityCheck(rule string, want api.Datasource, state *fsm.State) fsm.Check {
	is := datasource(state, want.Address)
	return fsm.Check{
		Rule: rule, OK: want.ServerID != "" && is.ServerID == want.ServerID,
		Input: fmt.Sprintf("%s: requested for %q, is %q", want.Address, want.ServerID, is.ServerID),
	}
}

// examineServers asks both agents about their servers: the candidate first, so
// that what it has can be compared with what the primary has a moment later.
func (d *driver) examineServers(ctx context.Context, s *fsm.Switch, primary api.Datasource) ([]fsm.Check, error) {
	var state api.AgentState
	if err := order(ctx, &d.agents, s.FromAddress, api.StateFetch, nil, api.StateFetchRequest{}, &state); err != nil {
		return nil, fmt.Errorf("primary %s: %w", s.FromAddress, err)
	}
	body := api.PreflightDatasourceRequest{
		HostGroup: s.Group, Role: api.BinlogSlave, Primary: primary, PrimaryVersion: state.Version,
		MaxLagMS: time.Duration(s.Settings.BinlogWait).Milliseconds(), Peers: d.identities(s),
	}
	candidate, err := d.examine(ctx, s.ToAddress, body)
	if err != nil {
		return nil, fmt.Errorf("candidate %s: %w", s.ToAddress, err)
	}
	checks := named("candidate", candidate.Checks)
	body.Role = api.BinlogMaster
	if candidate.State.Binlog != nil {
		// A clone has logged nothing yet: its position is what it has.
		body.CandidateState = cmp.Or(candidate.State.Binlog.GTIDBinlogState, candidate.State.Binlog.GTIDSlavePos)
	}
	examined, err := d.examine(ctx, s.FromAddress, body)
	if err != nil {
		return checks, fmt.Errorf("primary %s: %w", s.FromAddress, err)
	}
	return append(checks, named("primary", examined.Checks)...), nil
}

func (d *driver) examine(ctx context.Context, address string, body api.PreflightDatasourceRequest) (answer api.PreflightAnswer, err error) {
	err = order(ctx, &d.agents, address, api.PreflightDatasource, d.meta(), body, &answer)
	return answer, err
}

// identities are the identities of the group's servers, as their agents
// reported them.
func (d *driver) identities(s *fsm.Switch) map[string]string {
	known := map[string]string{}
	state := d.cfg.Store.State()
	for _, address := range s.Members {
		if id := datasource(state, address).ServerID; id != "" {
			known[address] = id
		}
	}
	return known
}

// named says whose rules they are.
func named(role string, rules []api.Check) []fsm.Check {
	checks := make([]fsm.Check, 0, len(rules))
	for _, c := range rules {
		c.Rule = role + " " + c.Rule
		checks = append(checks, fsm.Check(c))
	}
	return checks
}

// checkLoad compares the candidate's one-minute load with safe_load.
func (d *driver) checkLoad(ctx context.Context, s *fsm.Switch) fsm.Check {
	if !s.Settings.NeedLoadCheck {
		return fsm.Check{Rule: ruleLoad, OK: true, Input: "skipped: need_load_check is false"}
	}
	var load api.Load
	if err := order(ctx, &d.agents, s.ToAddress, api.LoadFetch, nil, api.LoadFetchRequest{}, &load); err != nil {
		return fsm.Check{Rule: ruleLoadFetch, Input: err.Error(), Detail: "the load could not be fetched"}
	}
	safe := float64(s.Settings.SafeLoad) / 1000
	return fsm.Check{Rule: ruleLoad, OK: load.Load1 <= safe, Input: fmt.Sprintf("load1 %.2f of %d cores, safe_load %.2f", load.Load1, load.Cores, safe)}
}

// checkBinlog compares where the primary writes with what the candidate has
// executed, as the original did: another file, or more than safe_binlog_delay
// behind, refuses the switch at once. What is behind by less is waited for
// later, when nothing is written any more.
func (d *driver) checkBinlog(ctx context.Context, s *fsm.Switch) fsm.Check {
	if !s.Settings.NeedBinlogCheck {
		return fsm.Check{Rule: ruleBinlog, OK: true, Input: "skipped: need_binlog_check is false"}
	}
	var executed, written api.Binlog
	err := order(ctx, &d.agents, s.ToAddress, api.BinlogFetch, nil, api.BinlogFetchRequest{Role: api.BinlogSlave}, &executed)
	if err == nil {
		err = order(ctx, &d.agents, s.FromAddress, api.BinlogFetch, nil, api.BinlogFetchRequest{Role: api.BinlogMaster}, &written)
	}
	if err != nil {
		return fsm.Check{Rule: ruleBinlog, Input: err.Error(), Detail: "a position could not be fetched"}
	}
	check := fsm.Check{Rule: ruleBinlog, Input: fmt.Sprintf("primary at %s:%d, candidate executed to %s:%d, safe_binlog_delay %d bytes", written.File, written.Position, executed.File, executed.Position, s.Settings.SafeBinlogDelay)}
	switch {
	case executed.File != written.File:
		check.Detail = "the candidate is in another binlog file: wait until it has caught up"
	case int64(written.Position-executed.Position) > s.Settings.SafeBinlogDelay && written.Position > executed.Position:
		check.Detail = "the candidate is too far behind"
	default:
		check.OK = true
	}
	return check
}

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
	case d.unused(s):
		rule = "skipped: the primary that " + s.Supersedes + " committed was never opened, no proxy has probed it"
	}
	if rule != "" {
		out := next(fsm.StateStopping, rule)
		out.VoteRule = rule
		return out
	}
	if failover(s) {
		d.settleIn(ctx, s)
	} else {
		d.gather(ctx, s)
	}
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		asked   int
		yes     int
		failure error
		began   = time.Now()
	)
	for _, p := range d.cfg.Store.State().Proxies(s.Cluster) {
		if p.Status == fsm.StatusUnreg {
			continue
		}
		asked++
		all.Go(func() {
			v := d.vote(ctx, s, p)
			for end := began.Add(d.waits.grace); failover(s) && !v.Vote && time.Now().Before(end) && ctx.Err() == nil; v = d.vote(ctx, s, p) {
				pause(ctx, votePause) // its own probes may be a moment behind
			}
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

// unused reports whether s leaves a primary that no proxy ever wrote to.
func (d *driver) unused(s *fsm.Switch) bool {
	old := d.cfg.Store.State().Switch(s.Supersedes)
	return old != nil && !went(old, fsm.StateRecovering)
}

// votePause is the pause before a proxy is asked again in a failover.
const votePause = 50 * time.Millisecond

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
