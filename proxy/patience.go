package proxy

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

// patience bounds one heartbeat: an answer that takes longer than half of a lease
// brings less than the next one would, which another keeper may answer. granted is the
// length of the last lease, 0 if there was none.
func patience(most, granted time.Duration) time.Duration {
	if granted == 0 {
		return most
	}
	return min(most, granted/2)
}
