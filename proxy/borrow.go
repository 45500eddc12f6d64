package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// Peers reaches the agents of database servers (package transport's Client, with
// this proxy's Hello and its token).
type Peers interface {
	CallAt(ctx context.Context, endpoint, name string, meta wire.Meta, body []byte) (*wire.Response, error)
}

// Reach gives the proxy its way to the agents. It is called before Run.
func (p *Proxy) Reach(peers Peers) { p.peers = peers }

// borrowLook is the pause between looks whether a lease is to be borrowed.
const borrowLook = 50 * time.Millisecond

// borrowed is what a host group knows of leases that agents lend.
type borrowed struct {
	busy  bool          // a request is under way
	next  lease.Instant // not before
	turn  int           // which agent is asked next, counted from the primary's
	since time.Time     // when lent leases began to be what it lives by; zero: it does not
	told  bool          // that nobody lends, in this silence
}

// borrow asks the primaries' agents for leases while no keeper answers (R18e),
// until ctx ends.
func (p *Proxy) borrow(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	for ctx.Err() == nil {
		times := p.times()
		for _, g := range p.live.Load().groups {
			if peer, due := g.borrows(times, p.Silence(), p.now()); due {
				asking.Go(func() { p.borrowOnce(ctx, g, peer, times) })
			}
		}
		timer := time.NewTimer(borrowLook)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// times are those of the keepers' leases; they only pace what is done here.
func (p *Proxy) times() lease.Times {
	if ms := p.leaseMS.Load(); ms >= lease.Shortest.Milliseconds() && ms <= lease.Longest.Milliseconds() {
		return lease.For(time.Duration(ms) * time.Millisecond)
	}
	return lease.For(lease.Default)
}

// borrows is the agent to ask now, the primary's first, then one after the other.
// It is not due when a keeper answers, enough of a lease is left, or a request is under way.
func (g *group) borrows(times lease.Times, silence time.Duration, now lease.Instant) (peer api.Peer, due bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := &g.borrowed
	if silence < times.Silence() {
		b.told = false
		return peer, false
	}
	left := g.gate.Until().Sub(now)
	if left <= 0 {
		g.returned("the lease is over, and nobody lends another")
	}
	if g.state.Peers == "" || b.busy || now < b.next || left >= times.Lease-times.Silence() {
		return peer, false
	}
	peers := api.SplitPeers(g.state.Peers)
	first := slices.IndexFunc(peers, func(p api.Peer) bool { return p.Address == g.state.Current.Address })
	i := (max(first, 0) + b.turn) % len(peers)
	b.busy = true
	return peers[i], true
}

// borrowOnce asks one agent. It is counted from the sending of the request.
func (p *Proxy) borrowOnce(ctx context.Context, g *group, peer api.Peer, times lease.Times) {
	s := p.stand()
	sent := p.now()
	err := p.askLender(ctx, g, peer, s.life, sent, times)
	g.mu.Lock()
	defer g.mu.Unlock()
	b := &g.borrowed
	b.busy, b.next = false, sent.Add(times.Again/2)
	if err == nil {
		b.turn = 0
		return
	}
	b.turn++
	if !b.told && ctx.Err() == nil {
		b.told = true
		g.log.Warn("no keeper answers, and no lease is lent", "group", g.name, "agent", peer.Address, "reason", err)
	}
}

func (p *Proxy) askLender(ctx context.Context, g *group, peer api.Peer, life uint64, sent lease.Instant, times lease.Times) error {
	if p.peers == nil {
		return fmt.Errorf("this proxy has no token to borrow with: set --lend-token-ref")
	}
	ctx, cancel := context.WithTimeout(ctx, times.Round)
	defer cancel()
	body, err := json.Marshal(api.BorrowLeaseRequest{HostGroup: g.name, Stamp: g.snapshot().Stamp})
	if err != nil {
		return err
	}
	resp, err := p.peers.CallAt(ctx, peer.Listen, api.BorrowLease, nil, body)
	if err != nil {
		return err
	}
	var answer api.BorrowLeaseAnswer
	if err := json.Unmarshal(resp.Data, &answer); err != nil {
		return fmt.Errorf("%s: the answer cannot be read: %w", api.BorrowLease, err)
	}
	if answer.Grant.HostGroup != g.name || answer.Grant.Primary.Address != peer.Address || !answer.Grant.Open {
		return fmt.Errorf("%s: the agent of %s lends %q of host group %q, open %v", api.BorrowLease, peer.Address, answer.Grant.Primary.Address, answer.Grant.HostGroup, answer.Grant.Open)
	}
	until := leaseUntil(sent, api.HeartbeatAnswer{LeaseMS: answer.LeaseMS})
	return g.lent(answer.Grant, until, func() bool {
		now := p.stand()
		return now.life == life && !now.leaving && now.status != api.StatusUnreg
	})
}

// lent takes a lent lease: lease and open come from one grant (R18e), and no stamp
// that was seen is above the lender's (R8). Unlike a keeper's it needs no place on
// the keepers' list: no commit comes before its end. in reports whether the proxy is
// still in service as when it asked.
func (g *group) lent(grant api.Grant, until lease.Instant, in func() bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case grant.Stamp.Compare(g.state.Stamp) < 0: // R18e
		return api.Errorf(api.StaleGeneration, "host group %s has seen stamp %s, the lender %s", g.name, g.state.Stamp, grant.Stamp)
	case !in():
		return api.Errorf(api.NotReady, "this proxy was taken out of service while it asked")
	case !slices.Contains(g.write, grant.Primary.Address):
		return api.Errorf(api.IdentityMismatch, "host group %s: the lender is %q, which is not in the configuration that runs here", g.name, grant.Primary.Address)
	case until <= lease.Now():
		return api.Errorf(api.NoFailsafe, "host group %s: the answer came when the lent lease was over", g.name)
	}
	next := g.state
	next.Stamp = grant.Stamp
	if now := (target{grant.Primary.Address, grant.Committed}); !next.Current.is(now) {
		next.Current = now
	}
	if err := g.move(next); err != nil {
		return err
	}
	if g.borrowed.since.IsZero() {
		g.borrowed.since = time.Now()
		g.log.Warn("failsafe: no keeper answers, writing with leases that the primary's agent lends", "group", g.name, "datasource", grant.Primary.Address, "stamp", grant.Stamp)
	}
	return g.open(until)
}

// returned notes that the group does not live by lent leases any more. The lock
// is held.
func (g *group) returned(why string) {
	if since := g.borrowed.since; !since.IsZero() {
		g.borrowed.since = time.Time{}
		g.log.Warn("failsafe: no lent leases any more", "group", g.name, "reason", why, "held", time.Since(since).Round(time.Millisecond))
	}
}

// lentSince is since when the group lives by lent leases; zero when it does not.
func (g *group) lentSince() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.borrowed.since
}

// keepPeers keeps who lends, for when no keeper is in reach, also after a start. It
// is a help and no promise: a disk that fails does not keep the group from its lease.
// The lock is held.
func (g *group) keepPeers(grant api.Grant) {
	peers := ""
	if grant.Failsafe {
		peers = api.JoinPeers(grant.Peers)
	}
	if peers == g.state.Peers {
		return
	}
	next := g.state
	next.Peers = peers
	if err := g.keep(next); err != nil {
		g.state.Peers = peers
		g.log.Warn("who lends leases is not on the disk", "group", g.name, "error", err)
	}
}
