//go:build nolease && !control

package mysql

import (
	"testing"

	"github.com/zerokeeper/zero/transport/lease"
)

// TestNothingIsKept shows that this build is the negative control that it claims to be: an OK that comes after the
// lease has ended is relayed.
func TestNothingIsKept(t *testing.T) {
	end := make(chan struct{})
	f := (&fakeServer{answer: func(_ int, cmd []byte) ([]byte, bool) {
		<-end
		return appendPacket(nil, 1, appendOK(nil, statusAutocommit)), false
	}}).start(t)
	p := newProxy(t, "")
	leaseFor(t, p, f.addr, short)
	c := raw(t, p.addr, rawCaps&^capConnectWithDB)
	c.send(comQuery, []byte("INSERT INTO t VALUES (1)")...)
	p.over(t)
	until := lease.Now().Add(2 * answerGrace)
	eventually(t, "what ends with a lease has ended", func() bool { return lease.Now() > until })
	close(end)
	if r := c.result(); r.err != nil {
		t.Fatal(r.err)
	}
	eventually(t, "nothing is in flight", func() bool { return p.gate.InFlight() == 0 })
}
