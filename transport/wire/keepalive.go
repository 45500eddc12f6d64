package wire

import (
	"context"
	"fmt"
	"time"
)

// pingID is the id of every ping; calls count from 1.
const pingID = 0

// keepalive notices a peer that is gone without a word. When nothing came for
// PingInterval it sends the two-way request [Ping] once; when nothing came for
// PingTimeout after that, the connection ends. Any byte from the peer counts, so a busy
// connection sends no ping, and of two idle ends one ping serves both.
type keepalive struct {
	inv    *Invoker
	ticker *time.Ticker
	period time.Duration
	last   time.Time // the tick before
	asked  bool      // a ping was sent since the peer was last heard
	when   time.Time // it was sent
}

func newKeepalive(inv *Invoker) *keepalive {
	period := max(min(inv.cfg.PingInterval, inv.cfg.PingTimeout)/2, time.Millisecond)
	return &keepalive{inv: inv, ticker: time.NewTicker(period), period: period, last: time.Now()}
}

func (k *keepalive) tick(now time.Time) error {
	late := now.Sub(k.last) > 2*k.period
	k.last = now
	heard := k.inv.started.Add(time.Duration(k.inv.received.Load()))
	switch {
	case now.Sub(heard) < k.inv.cfg.PingInterval:
		k.asked = false
		return nil
	case !k.asked:
		k.asked, k.when = true, now
		if _, err := k.inv.out.put(context.Background(), &Message{Kind: KindRequest, ID: pingID, Name: Ping}, urgent, false); err != nil {
			return err
		}
		return k.inv.out.flush()
	case late:
		// This process itself stood still; the answer may lie in the socket.
		return nil
	case now.Sub(k.when) >= k.inv.cfg.PingTimeout:
		k.inv.cfg.Counters.SilentPeers.Add(1)
		return fmt.Errorf("%w: nothing came for %v", ErrPeerSilent, now.Sub(heard).Round(time.Millisecond))
	}
	return nil
}
