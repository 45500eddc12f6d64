//go:build !control

package cluster

// What a build with the tag "control" can switch off, to show that the tests
// which should notice do.
const (
	noSync        = false // the log is written without fsync
	unprovenReads = false // whichever keeper is asked reads, leader or not
	noSums        = false // entries are taken for right whatever their checksum
)
