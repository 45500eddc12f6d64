package wire

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/zerokeeper/zero/transport/api"
)

// InvokeRoute finds the invoker of a terminal, that is, of a proxy, agent or
// client that keeps a command connection. The zero value is empty and ready.
type InvokeRoute struct {
	mu       sync.RWMutex
	invokers map[string]*Invoker
}

// Register makes inv the invoker of terminal id and returns the one that it
// replaces, if any, for the caller to close.
func (r *InvokeRoute) Register(id string, inv *Invoker) (replaced *Invoker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.invokers == nil {
		r.invokers = make(map[string]*Invoker)
	}
	replaced = r.invokers[id]
	r.invokers[id] = inv
	if replaced == inv {
		return nil
	}
	return replaced
}

// Remove takes terminal id off the route, if inv is still its invoker: the late
// end of an old connection must not remove its successor.
func (r *InvokeRoute) Remove(id string, inv *Invoker) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if current, ok := r.invokers[id]; !ok || current != inv {
		return false
	}
	delete(r.invokers, id)
	return true
}

// Get is the invoker of terminal id.
func (r *InvokeRoute) Get(id string) (*Invoker, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	inv, ok := r.invokers[id]
	return inv, ok
}

// IDs are the terminals on the route, sorted.
func (r *InvokeRoute) IDs() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.invokers))
}

// Call is [Invoker.Call] at terminal id. When it is not connected the error is
// ErrNotConnected and ErrNotSent.
func (r *InvokeRoute) Call(ctx context.Context, id, name string, meta Meta, body []byte) (*Response, error) {
	inv, ok := r.Get(id)
	if !ok {
		return nil, notSent(name, &absent{id})
	}
	return inv.Call(ctx, name, meta, body)
}

// Send is [Invoker.Send] at terminal id, with errors as in Call.
func (r *InvokeRoute) Send(ctx context.Context, id, name string, meta Meta, body []byte) error {
	inv, ok := r.Get(id)
	if !ok {
		return notSent(name, &absent{id})
	}
	return inv.Send(ctx, name, meta, body)
}

// absent says which terminal is not connected.
type absent struct{ id string }

func (e *absent) Error() string { return ErrNotConnected.Error() + ": " + e.id }

func (e *absent) Unwrap() []error {
	return []error{ErrNotConnected, &api.Error{Code: api.NetConnect, Msg: e.Error()}}
}
