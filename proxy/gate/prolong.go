package gate

import "github.com/zerokeeper/zero/transport/lease"

// Prolong makes the lease of a held gate last until then, for what is in flight: it
// opens nothing. A lease that is over is not revived, as the keepers have counted it
// out by then (R2): it reports whether the lease lives. An open gate is left alone:
// its leases come with Open.
func (g *Gate) Prolong(until lease.Instant) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.open || !g.alive() {
		return false
	}
	g.renew(until)
	return true
}
