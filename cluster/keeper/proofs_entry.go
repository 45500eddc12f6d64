package keeper

import "errors"

// A switch's own entries prove leadership as well as an entry made for that (R1: any
// that is proposed after the heartbeats came in, and committed in the term): whoever
// waits when one is proposed is answered by it. So the candidate, whose heartbeat comes
// with its word that it has caught up, gets its lease with the commit, and not by another
// entry after it.

// errNothingProven: the entry that was to prove leadership did not; the next one may.
var errNothingProven = errors.New("nothing was proven")

// byEntry takes the proof of those who wait now. Call it before the entry is proposed,
// and proven, with what became of it, after it. It is nil when nobody waits.
func (p *proofs) byEntry() *proof {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open || p.next.waiting == 0 {
		return nil
	}
	return p.take()
}

// proven ends a proof: err is nil when an entry of this term was committed that was
// proposed after everybody who waits for it came.
func (m *proof) proven(err error) {
	if m == nil {
		return
	}
	if err != nil {
		m.err = errNothingProven // they wait for the next one
	}
	close(m.done)
}

// hurry lets those who wait not wait for others: one of them may be the server that
// the switch makes writable.
func (p *proofs) hurry() {
	p.mu.Lock()
	wanted := p.open && p.next.waiting > 0
	p.urgent = p.urgent || wanted
	p.mu.Unlock()
	if wanted {
		poke(p.rush)
	}
}

// wanted reports whether anybody waits for the next proof.
func (p *proofs) wanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next.waiting > 0
}

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
