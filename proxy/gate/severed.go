package gate

import "github.com/zerokeeper/zero/transport/lease"

// severed is what Sever gave up last.
type severed struct {
	primary Primary
	at      lease.Instant // 0: nothing, or it was opened again
}

// Severed returns the primary that Sever gave up last, and when: what was on its way to it by then will not be
// answered, reads neither. at is 0 when there is none, or it admits again. A switch that drains severs nobody.
func (g *Gate) Severed() (p Primary, at lease.Instant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.severed.primary, g.severed.at
}

// sever remembers that the primary is given up. The caller holds g.mu.
func (g *Gate) sever() {
	if g.known {
		g.severed = severed{g.primary, g.clock.now()}
	}
}

// restored forgets it when that primary admits again. The caller holds g.mu.
func (g *Gate) restored() {
	if g.primary.Same(g.severed.primary) {
		g.severed = severed{}
	}
}
