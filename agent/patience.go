package agent

import (
	"errors"
	"time"
)

// errNotConnected: no keeper that leads is connected to.
var errNotConnected = errors.New("not connected to a keeper that leads")

// connected says why a heartbeat would only wait, if the link knows. Whatever waits
// for a connection shortens the lease that its answer brings (R10); a heartbeat that is
// sent when there is one does not.
func connected(link Link) error {
	if l, knows := link.(interface{ Connected() bool }); knows && !l.Connected() {
		return errNotConnected
	}
	return nil
}

func (a *Agent) beatInterval() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.interval
}

// patience bounds one heartbeat: an answer that takes longer than half of a lease
// brings less than the next one would, which another keeper may answer.
func (h *holding) patience(most time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.times.Lease == 0 {
		return most
	}
	return min(most, h.times.Lease/2)
}
