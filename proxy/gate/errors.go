package gate

import (
	"errors"
	"fmt"
)

var (
	// ErrHoldTimeout: the gate stayed held for the whole HoldTimeout. Nothing was sent; try again later.
	ErrHoldTimeout = errors.New("still held when the hold timeout ran out")
	// ErrHoldFull: too many statements, or too many bytes of them, wait already. Nothing was sent.
	ErrHoldFull = errors.New("too much waits already")
	// ErrClosed: the gate was closed because its host group was removed or replaced. Look the group up again.
	ErrClosed = errors.New("gate is closed")
	// ErrOpen: the operation needs a held gate. Hold first.
	ErrOpen = errors.New("gate is open")
)

// DrainError says how much was still in flight when a Drain gave up.
type DrainError struct {
	Group string // host group
	Left  int    // tickets not yet released
	Err   error  // why it gave up: the context's error, ErrOpen or ErrClosed
}

// Error implements error.
func (e *DrainError) Error() string {
	return fmt.Sprintf("drain host group [%s]: %d still in flight: %v", e.Group, e.Left, e.Err)
}

// Unwrap returns the reason.
func (e *DrainError) Unwrap() error { return e.Err }
