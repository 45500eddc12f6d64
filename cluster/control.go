//go:build control

package cluster

var noSync, unprovenReads, noSums bool

// Break leaves out fsync of the log, the proof of leadership before reads, or the
// check of the checksums that the entries of the log have.
// It exists only in builds with the tag "control" and is called before Open.
func Break(sync, proof, sums bool) { noSync, unprovenReads, noSums = sync, proof, sums }
