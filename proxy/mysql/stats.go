package mysql

import "sync/atomic"

// Stats is what a Server has done and has at hand. Gauges first, then counters since its start.
type Stats struct {
	Connections int64 // clients connected
	Backends    int64 // server connections in use
	InFlight    int64 // sessions with a ticket: a write or a transaction
	Held        int64 // sessions waiting for a gate

	Accepted   uint64 // clients accepted
	Refused    uint64 // clients turned away: too many connections
	Denied     uint64 // logins with a wrong name or password
	Queries    uint64 // commands answered by a server
	Errors     uint64 // errors sent to clients, those of servers included
	Moves      uint64 // sessions moved to another primary
	Retries    uint64 // commands started anew because their connection was dead
	Reprepared uint64 // prepared statements prepared on another connection
	HeldOut    uint64 // statements refused because their host group stayed held
	Unknown    uint64 // statements answered with "outcome unknown"
	Kept       uint64 // OKs kept because the lease had ended
	Panics     uint64 // sessions ended by a fault of the proxy
}

// counters are the parts of Stats.
type counters struct {
	connections, backends, inFlight, held                                        atomic.Int64
	accepted, refused, denied, queries, errors, moves, retries, heldOut, unknown atomic.Uint64
	reprepared, panics, kept                                                     atomic.Uint64
}

// Stats returns the present figures.
func (srv *Server) Stats() Stats {
	c := &srv.stats
	return Stats{
		Connections: c.connections.Load(), Backends: c.backends.Load(), InFlight: c.inFlight.Load(), Held: c.held.Load(),
		Accepted: c.accepted.Load(), Refused: c.refused.Load(), Denied: c.denied.Load(), Queries: c.queries.Load(),
		Errors: c.errors.Load(), Moves: c.moves.Load(), Retries: c.retries.Load(), Reprepared: c.reprepared.Load(),
		HeldOut: c.heldOut.Load(), Unknown: c.unknown.Load(), Panics: c.panics.Load(), Kept: c.kept.Load(),
	}
}
