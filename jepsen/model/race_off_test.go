//go:build !race

package model

// raceEnabled: the tests run with the race detector.
const raceEnabled = false
