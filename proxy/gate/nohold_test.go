//go:build nohold

package gate

import "testing"

// TestHoldDoesNotHold shows that this build is the negative control that it claims to be.
func TestHoldDoesNotHold(t *testing.T) {
	g, err := New("g", Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := g.TryAcquire(); ok {
		t.Fatal("passed without any primary")
	}
	if err := g.Open(Primary{Address: "a:1", Generation: 1}, forever); err != nil {
		t.Fatal(err)
	}
	g.Hold()
	if _, err := g.Acquire(t.Context(), 1); err != nil {
		t.Fatalf("Acquire on a held gate: %v", err)
	}
	if err := g.Drain(t.Context()); err != nil {
		t.Fatalf("Drain with one in flight: %v", err)
	}
}
