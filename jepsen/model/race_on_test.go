//go:build race

package model

// raceEnabled: the tests run with the race detector, which makes a search ten times slower.
const raceEnabled = true
