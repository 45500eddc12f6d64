// Package load writes through proxies at a fixed rate, remembers every write
// that was acknowledged, and says afterwards what became of each.
//
// The load is open-loop: writes are due at fixed times whether or not those
// before them were answered, so that a pause shows in the gaps and latencies
// and is not hidden by clients that wait. Half of the connections write single
// rows, the other half transactions of several statements.
package load
