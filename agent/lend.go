package agent

import (
	"context"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// BorrowLeaseProcessor lends a proxy a lease that ends with the failsafe lease
// (R18e). It says at once what the proxy may do with it.
func (a *Agent) BorrowLeaseProcessor(_ context.Context, _ *wire.Request, body api.BorrowLeaseRequest) (api.BorrowLeaseAnswer, error) {
	var answer api.BorrowLeaseAnswer
	m := a.remembered()
	if m.HostGroup == "" || m.HostGroup != body.HostGroup {
		return answer, api.Errorf(api.NoSuchGroup, "%s belongs to host group %q, not %q", m.Address, m.HostGroup, body.HostGroup)
	}
	stamp, err := a.mayAsk(m)
	if err != nil {
		return answer, api.Errorf(api.NoFailsafe, "nothing is lent: %v", err)
	}
	if body.Stamp.Compare(stamp) > 0 {
		return answer, api.Errorf(api.StaleGeneration, "this agent has seen stamp %s, the proxy %s", stamp, body.Stamp)
	}
	if s := a.lastState(); !s.Reachable || s.ReadOnly {
		return answer, api.Errorf(api.NoFailsafe, "nothing is lent: %s is not writable now", m.Address)
	}
	length, err := a.failsafe.lend(m.HostGroup, stamp, timesOf(m.LeaseMS))
	if err != nil {
		return answer, err
	}
	answer.LeaseMS = length.Milliseconds()
	answer.Grant = api.Grant{
		HostGroup: m.HostGroup, Stamp: stamp, Committed: m.Committed, Primary: api.Datasource{Address: m.Address, ServerID: m.ServerID}, Open: true,
		Failsafe: true, Peers: api.SplitPeers(m.Peers),
	}
	return answer, nil
}

// lend takes a length from what is left of the failsafe lease. Under its lock
// nothing is learnt in between (R18f).
func (f *failsafe) lend(group string, stamp api.Stamp, times lease.Times) (time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case lease.Since(f.heard) < times.Silence():
		return 0, api.Errorf(api.NoFailsafe, "nothing is lent: a keeper answered a moment ago, ask the keepers")
	case f.newestOf(group).Compare(stamp) > 0:
		return 0, api.Errorf(api.NoFailsafe, "nothing is lent: stamp %s was heard of", f.stamp)
	}
	now := lease.Now()
	length := times.Lent(f.until.Sub(now)).Truncate(time.Millisecond)
	if length < minLent {
		return 0, api.Errorf(api.NoFailsafe, "there is no failsafe lease to lend from now")
	}
	f.lent = max(f.lent, f.until.Add(-times.Kill)) // whatever the borrower's clock does
	f.counts.Lent++
	return length, nil
}
