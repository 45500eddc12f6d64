//go:build control

package cluster

var noSync, unprovenReads bool

// Break leaves out fsync of the log, or the proof of leadership before reads.
// It exists only in builds with the tag "control" and is called before Open.
func Break(sync, proof bool) { noSync, unprovenReads = sync, proof }
