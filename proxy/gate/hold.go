//go:build !nohold

package gate

// admits reports whether a newcomer may pass now: the gate is open and the lease lives (R12a). The caller holds g.mu.
func (g *Gate) admits() bool { return g.open && g.alive() } // R12a: with the lease, in one critical section with the count

// drained reports whether nothing is in flight. The caller holds g.mu.
func (g *Gate) drained() bool { return g.inFlight == 0 }
