package gate

import (
	"fmt"
	"time"
)

// Defaults of Config.
const (
	DefaultHoldTimeout  = 10 * time.Second
	DefaultMaxHeld      = 10_000
	DefaultMaxHeldBytes = 64 << 20
)

// Config bounds the waiting at a gate. A zero field means its default, never "unlimited".
type Config struct {
	// HoldTimeout is how long one statement waits at most.
	HoldTimeout time.Duration
	// MaxHeld is how many statements wait at most.
	MaxHeld int
	// MaxHeldBytes is how many bytes of statements wait at most, as told to Acquire.
	MaxHeldBytes int64
}

// Validate reports the first field that cannot be used.
func (c Config) Validate() error {
	switch {
	case c.HoldTimeout < 0:
		return fmt.Errorf("gate: hold timeout %v is negative", c.HoldTimeout)
	case c.MaxHeld < 0:
		return fmt.Errorf("gate: limit of %d held statements is negative", c.MaxHeld)
	case c.MaxHeldBytes < 0:
		return fmt.Errorf("gate: limit of %d held bytes is negative", c.MaxHeldBytes)
	}
	return nil
}

// withDefaults returns c with every zero field replaced by its default.
func (c Config) withDefaults() Config {
	if c.HoldTimeout == 0 {
		c.HoldTimeout = DefaultHoldTimeout
	}
	if c.MaxHeld == 0 {
		c.MaxHeld = DefaultMaxHeld
	}
	if c.MaxHeldBytes == 0 {
		c.MaxHeldBytes = DefaultMaxHeldBytes
	}
	return c
}
