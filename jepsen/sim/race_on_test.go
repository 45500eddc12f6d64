//go:build race

package sim

import "time"

// raceEnabled: the tests run with the race detector.
const raceEnabled = true

// defaultBudget leaves room for the controls, which are slower here.
const defaultBudget = 4 * time.Second
