package check

import (
	"fmt"
	"slices"
	"time"
)

// LeaseEventKind is what happened to a lease.
type LeaseEventKind string

// The events. Each took place at some moment between Sent and Answered.
const (
	// Heartbeat: the holder asked, and was told that it has the lease.
	Heartbeat LeaseEventKind = "heartbeat"
	// MaybeHeartbeat: the holder asked and does not know. Answered is when it gave up and closed the connection.
	MaybeHeartbeat LeaseEventKind = "maybe"
	// Held: an observer's linearizable read said that the lease is held.
	Held LeaseEventKind = "held"
	// Lost: an observer's linearizable read said that it is not.
	Lost LeaseEventKind = "lost"
	// Stopped: the holder sends no more heartbeats from here on, or none before it holds the lease anew; its expiry must
	// be seen.
	Stopped LeaseEventKind = "stopped"
)

// LeaseEvent is one observation of a lease. Times are monotonic, since the run's start.
type LeaseEvent struct {
	Holder         string         `json:"holder"`
	Kind           LeaseEventKind `json:"kind"`
	Sent, Answered time.Duration
}

// String is the event in one line.
func (e LeaseEvent) String() string { return fmt.Sprintf("%s at %v..%v", e.Kind, e.Sent, e.Answered) }

// LeaseConfig is what the keepers promise.
type LeaseConfig struct {
	TTL     time.Duration // a lease lives this long after its last heartbeat
	Bound   time.Duration // for an election, and for all that a new leader grants anew
	Epsilon time.Duration // for the proposal of the expiry, and for busy machines
}

// Lease checks I9: no lease is seen lost earlier than TTL after the sending of an acknowledged heartbeat that came before
// the observation, and none is seen held later than TTL + Bound + Epsilon after the answer of the last heartbeat. A
// heartbeat that overlaps an observation may have come before or after it; the benefit of that doubt is the keepers'. After Stopped
// the lease must be seen lost, or nothing was decided.
func Lease(events []LeaseEvent, cfg LeaseConfig) Verdict {
	f := newFinding()
	if cfg.TTL <= 0 || cfg.Bound < 0 || cfg.Epsilon < 0 {
		f.undecided("TTL %v, bound %v, epsilon %v: want a positive TTL and no negative bound", cfg.TTL, cfg.Bound, cfg.Epsilon)
		return f.verdict()
	}
	holders := make(map[string][]LeaseEvent)
	for _, e := range events {
		if e.Answered < e.Sent {
			f.undecided("%s: %v: answered before it was sent", e.Holder, e)
		}
		holders[e.Holder] = append(holders[e.Holder], e)
	}
	var sum leaseSum
	for _, holder := range sorted(holders) {
		sum.check(f, holder, holders[holder], cfg)
	}
	f.stat("holders", len(holders))
	f.stat("heartbeats", sum.heartbeats)
	f.stat("held", sum.held)
	f.stat("lost", sum.lost)
	f.stat("stopped", sum.stopped)
	f.stat("latest", sum.latest)
	if sum.held+sum.lost == 0 {
		f.undecided("no lease was observed")
	}
	return f.verdict()
}

type leaseSum struct {
	heartbeats, held, lost, stopped int
	latest                          time.Duration // from a heartbeat's answer to the last moment that the lease was seen held
}

// check looks at one holder's events.
func (s *leaseSum) check(f *finding, holder string, events []LeaseEvent, cfg LeaseConfig) {
	for _, e := range events {
		switch e.Kind {
		case Heartbeat, MaybeHeartbeat:
			s.heartbeats++
		case Lost:
			s.lost++
			if h, ok := lastSent(events, e); ok && e.Answered < h.Sent+cfg.TTL {
				f.problem("%s: seen %v, %v after the sending of its %v: the TTL is %v", holder, e, e.Answered-h.Sent, h, cfg.TTL)
			}
		case Held:
			s.held++
			h, ok := lastAnswered(events, e)
			if !ok {
				f.problem("%s: seen %v, and there was no heartbeat before", holder, e)
				continue
			}
			s.latest = max(s.latest, e.Sent-h.Answered)
			if late := cfg.TTL + cfg.Bound + cfg.Epsilon; e.Sent > h.Answered+late {
				f.problem("%s: seen %v, %v after the answer of its last %v: it should be lost after %v", holder, e, e.Sent-h.Answered, h, late)
			}
		case Stopped:
			s.stopped++
			seen := slices.ContainsFunc(events, func(o LeaseEvent) bool { return o.Kind == Lost && o.Answered >= e.Sent })
			if !seen {
				f.undecided("%s: %v, and its lease was not seen lost", holder, e)
			}
		default:
			f.undecided("%s: %v: no kind of an event", holder, e)
		}
	}
}

// lastSent is the acknowledged heartbeat that was sent last of those that were answered before e was asked.
func lastSent(events []LeaseEvent, e LeaseEvent) (last LeaseEvent, ok bool) {
	for _, h := range events {
		if h.Kind == Heartbeat && h.Answered <= e.Sent && (!ok || h.Sent > last.Sent) {
			last, ok = h, true
		}
	}
	return last, ok
}

// lastAnswered is the heartbeat, acknowledged or not, that was answered last of those that may have come before e.
func lastAnswered(events []LeaseEvent, e LeaseEvent) (last LeaseEvent, ok bool) {
	for _, h := range events {
		if (h.Kind == Heartbeat || h.Kind == MaybeHeartbeat) && h.Sent <= e.Answered && (!ok || h.Answered > last.Answered) {
			last, ok = h, true
		}
	}
	return last, ok
}

// Grant is an act under a fencing token that somebody accepted, at some moment between Sent and Answered.
type Grant struct {
	Resource       string        `json:"resource"`
	Holder         string        `json:"holder"`
	Token          uint64        `json:"token"`
	Sent, Answered time.Duration // monotonic, since the run's start
}

// Fencing checks that tokens never go down: once an act with a token was accepted on a resource, none with a lower one is;
// and that no two holders ever acted under one token.
func Fencing(accepted []Grant) Verdict {
	f := newFinding()
	resources := make(map[string][]Grant)
	for _, g := range accepted {
		if g.Answered < g.Sent {
			f.undecided("%s: token %d of %s: answered before it was sent", g.Resource, g.Token, g.Holder)
		}
		resources[g.Resource] = append(resources[g.Resource], g)
	}
	for _, resource := range sorted(resources) {
		fence(f, resource, resources[resource])
	}
	f.stat("resources", len(resources))
	f.stat("accepted", len(accepted))
	if len(accepted) == 0 {
		f.undecided("nothing was accepted")
	}
	return f.verdict()
}

func fence(f *finding, resource string, grants []Grant) {
	holders := make(map[uint64]string)
	byAnswer := slices.Clone(grants)
	slices.SortFunc(byAnswer, func(a, b Grant) int { return int(a.Answered - b.Answered) })
	bySent := slices.Clone(grants)
	slices.SortFunc(bySent, func(a, b Grant) int { return int(a.Sent - b.Sent) })
	var highest Grant // of those answered before the one at hand was sent
	done := 0
	for _, g := range bySent {
		for ; done < len(byAnswer) && byAnswer[done].Answered < g.Sent; done++ {
			if byAnswer[done].Token > highest.Token {
				highest = byAnswer[done]
			}
		}
		if g.Token < highest.Token {
			f.problem("%s: token %d of %s was accepted at %v..%v, after token %d of %s at %v..%v",
				resource, g.Token, g.Holder, g.Sent, g.Answered, highest.Token, highest.Holder, highest.Sent, highest.Answered)
		}
		if other, ok := holders[g.Token]; ok && other != g.Holder {
			f.problem("%s: token %d was accepted of %s and of %s", resource, g.Token, other, g.Holder)
		}
		holders[g.Token] = g.Holder
	}
}
