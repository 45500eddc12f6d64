package wire

import "sync/atomic"

// Counters counts what invokers do. They only rise, and may be shared.
type Counters struct {
	FramesIn, FramesOut atomic.Int64 // of op 2
	BytesIn, BytesOut   atomic.Int64 // of their frames, headers included
	Writes              atomic.Int64 // system calls that wrote FramesOut

	Requests       atomic.Int64 // two-way, from the peer
	OneWays        atomic.Int64 // one-way, from the peer
	Calls          atomic.Int64 // two-way, to the peer
	Busy           atomic.Int64 // requests answered Busy by a limit of the connection
	Malformed      atomic.Int64 // messages that could not be decoded
	UnknownOneWays atomic.Int64 // one-way calls of unknown name, dropped
	DroppedOneWays atomic.Int64 // one-way calls that found the queue full, dropped
	FailedOneWays  atomic.Int64 // one-way calls whose handler failed
	LateAnswers    atomic.Int64 // answers that no one waited for any more
	Panics         atomic.Int64 // handlers that panicked
	SilentPeers    atomic.Int64 // connections closed because the peer was silent
}
