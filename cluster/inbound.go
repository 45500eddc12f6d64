package cluster

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// stallTimeout is how long an RPC that has begun may go on without a byte.
const stallTimeout = 10 * time.Second

// inbound is an accepted connection as raft reads it. It may be idle for ever,
// but an RPC that has begun must go on: raft reads a snapshot on its main loop,
// so that a follower whose leader vanished half way could neither vote nor
// follow another until TCP gives up.
//
// An RPC has begun when bytes were read since the last answer was written. Of a
// pipeline's RPCs the next may begin unseen, in the same bytes as the one before;
// raft waits for the rest of that one beside its main loop.
type inbound struct {
	net.Conn
	stall time.Duration
	log   hclog.Logger
	begun atomic.Bool // bytes were read, and no answer was written since
}

// Read closes the connection when an RPC stalls: what would follow could not be
// told from the next one.
func (c *inbound) Read(p []byte) (int, error) {
	var deadline time.Time
	begun := c.begun.Load()
	if begun {
		deadline = time.Now().Add(c.stall)
	}
	if err := c.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.begun.Store(true)
	}
	if begun && errors.Is(err, os.ErrDeadlineExceeded) {
		c.log.Warn("a Raft connection is closed: it stopped half way through an RPC", "remote", c.RemoteAddr(), "waited", c.stall)
		err = errors.Join(err, c.Close())
	}
	return n, err
}

// Write sends an answer.
func (c *inbound) Write(p []byte) (int, error) {
	c.begun.Store(false)
	return c.Conn.Write(p)
}
