//go:build !nohold

package gate

// admits reports whether a newcomer may pass now. The caller holds g.mu.
func (g *Gate) admits() bool { return g.open }

// drained reports whether nothing is in flight. The caller holds g.mu.
func (g *Gate) drained() bool { return g.inFlight == 0 }
