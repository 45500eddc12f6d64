package transport

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Waits after a failed accept, doubling from the first to the last.
const (
	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = time.Second
)

// acceptLoop hands every connection to handle, which must not block, until ctx ends or
// l is closed. Any other failure, such as no file descriptors
// left, is taken to pass: it waits, longer each time, and tries again.
func acceptLoop(ctx context.Context, l net.Listener, logger hclog.Logger, handle func(net.Conn)) {
	var delay time.Duration
	for {
		conn, err := l.Accept()
		if err == nil {
			delay = 0
			handle(conn)
			continue
		}
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		if delay == 0 {
			logger.Warn("cannot accept connections; trying again until it passes", "address", l.Addr(), "error", err)
		}
		delay = min(max(2*delay, acceptBackoffMin), acceptBackoffMax)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return
		}
	}
}
