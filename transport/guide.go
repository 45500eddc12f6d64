package transport

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// guide knows where to ask next: the leader of the highest term heard of, or one
// endpoint after the other. It never depends on what it was told alone, so a wrong
// hint costs time and nothing else.
type guide struct {
	endpoints []string
	greyTime  time.Duration

	mu     sync.Mutex
	next   int // endpoint to try when no leader is known
	leader api.LeaderHint
	grey   map[string]time.Time // until when an address counts as unreachable
}

func newGuide(endpoints []string, greyTime time.Duration) *guide {
	// A random start spreads the first calls of many clients.
	return &guide{endpoints: endpoints, greyTime: greyTime, next: rand.IntN(len(endpoints)), grey: make(map[string]time.Time)}
}

// pick is the address to ask: the leader if one is known, else the next endpoint;
// grey ones only when there is no other.
func (g *guide) pick(now time.Time) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leader.Address != "" && !g.isGrey(g.leader.Address, now) {
		return g.leader.Address
	}
	best := ""
	for range g.endpoints {
		e := g.endpoints[g.next]
		g.next = (g.next + 1) % len(g.endpoints)
		if !g.isGrey(e, now) {
			return e
		}
		if best == "" || g.grey[e].Before(g.grey[best]) {
			best = e
		}
	}
	return best
}

func (g *guide) isGrey(address string, now time.Time) bool {
	until, ok := g.grey[address]
	return ok && now.Before(until)
}

// follow takes the hint of a keeper that does not lead and returns the address to ask
// instead. ok is false when the hint leads nowhere: it is empty, of a term older than one
// already heard of, names the keeper itself, or someone who could not be reached a
// moment ago.
func (g *guide) follow(from string, hint api.LeaderHint, now time.Time) (address string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leader.Address == from {
		g.leader.Address = ""
	}
	if hint.Address == "" || hint.Address == from || hint.Term < g.leader.Term {
		return "", false
	}
	g.leader = hint
	return hint.Address, !g.isGrey(hint.Address, now)
}

// answered notes that address did what only a leader does, or at least did not
// refuse it.
func (g *guide) answered(address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.grey, address)
	if g.leader.Address == "" {
		g.leader.Address, g.leader.ID = address, ""
	}
}

// leads takes a keeper's word that it leads itself. It is not refused for an
// older term, since a group that was restored counts from a lower one again; but the
// highest term is remembered, so that no hint is followed to an older leader.
func (g *guide) leads(address string, hint api.LeaderHint) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.grey, address)
	switch {
	case hint.Term >= g.leader.Term:
		g.leader = api.LeaderHint{ID: hint.ID, Address: address, Term: hint.Term}
	case g.leader.Address == "":
		g.leader.ID, g.leader.Address = hint.ID, address
	}
}

// denied notes that address does not lead now, or was lost.
func (g *guide) denied(address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leader.Address == address {
		g.leader.Address = ""
	}
}

// unreachable puts address on the grey list.
func (g *guide) unreachable(address string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for a, until := range g.grey {
		if !now.Before(until) {
			delete(g.grey, a)
		}
	}
	g.grey[address] = now.Add(g.greyTime)
	if g.leader.Address == address {
		g.leader.Address = ""
	}
}

// known is the leader, with an empty address when it is not known.
func (g *guide) known() api.LeaderHint {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.leader
}

// hintOf is the leader that a NotLeader answer names; zero if it names none.
func hintOf(err error) api.LeaderHint {
	var hint api.LeaderHint
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code == api.NotLeader {
		if json.Unmarshal([]byte(e.Data), &hint) != nil {
			return api.LeaderHint{} // as good as no hint
		}
	}
	return hint
}

// backoff is the wait between attempts: it doubles, and half of it is random, so that
// many clients that lost the same leader do not come back at once.
type backoff struct{ min, max, next time.Duration }

func (b *backoff) wait() time.Duration {
	b.next = min(max(b.next, b.min), b.max)
	d := b.next/2 + rand.N(b.next/2+1)
	b.next *= 2
	return d
}

func (b *backoff) reset() { b.next = 0 }
