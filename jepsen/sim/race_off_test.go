//go:build !race

package sim

import "time"

// raceEnabled: the tests run with the race detector.
const raceEnabled = false

const defaultBudget = 6 * time.Second
