//go:build !race

package cluster

// raceEnabled: the tests run with the race detector.
const raceEnabled = false
