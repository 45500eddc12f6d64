package transport

import "time"

const (
	// elections is how long after the loss of a connection that was in order the keepers are most likely electing.
	elections = 3 * time.Second
	// electing is the most that is waited meanwhile: a lease runs out, and the new leader may be there any moment.
	electing = 60 * time.Millisecond
)

// pace is the pause between two tries to connect: short while the keepers are likely electing, then a back-off.
type pace struct {
	backoff
	since time.Time // a connection that was in order was lost
}

// lost begins anew.
func (p *pace) lost(now time.Time) {
	p.reset()
	p.since = now
}

// pause is the next pause.
func (p *pace) pause(now time.Time) time.Duration {
	if p.since.IsZero() || now.Sub(p.since) > elections {
		return p.wait()
	}
	hasty := backoff{min: min(p.min, electing), max: min(p.max, electing), next: p.next}
	d := hasty.wait()
	p.next = hasty.next
	return d
}
