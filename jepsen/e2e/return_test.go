package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/zerokeeper/zero/jepsen/load"
)

// refusedReadOnly is what a server says to who writes while it is read-only.
const refusedReadOnly = 1290

// keepersBack: all keepers are gone until every lease has ended, and answer the proxies
// first when they are back. Clients wait until the primary is writable again; nobody is
// refused by it.
func (s *scene) keepersBack(t *testing.T, ctx context.Context) {
	l := s.underLoad(t, ctx)
	primary := s.group(t, ctx).Writable
	l.lost = s.killKeepers(t)
	s.readOnly(t, ctx, primary, "1")
	for _, p := range s.Proxies {
		s.shows(t, ctx, p.URL("/metrics"), "zero_proxy_group_lease_seconds", func(v float64) bool { return v <= 0 })
	}
	back := time.Now()
	resume := pause(t, ctx, s.Agents[primary].Proc)
	startKeepers(t, ctx, s.Keepers)
	for _, p := range s.Proxies {
		s.shows(t, ctx, p.URL("/metrics"), "zero_proxy_keeper_silence_seconds", func(v float64) bool { return v < time.Since(back).Seconds()/2 })
		if open := s.metric(t, ctx, p.URL("/metrics"), "zero_proxy_group_open"); open != 0 {
			t.Errorf("%s is open, and the primary read-only", p.Name())
		}
	}
	resume()
	l.more(t, ctx, 20)
	s.healthy(t, ctx)
	if now := s.group(t, ctx).Writable; now != primary {
		t.Errorf("the primary is %d, it was %d: nothing was wrong with it", now, primary)
	}
	l.watch.end(t)
	l.work.Stop()
	for _, f := range l.work.Failures(load.Span{From: back, To: time.Now()}) {
		if refused, ok := errors.AsType[*mysql.MySQLError](f.Err); ok && refused.Number == refusedReadOnly {
			t.Errorf("%v after the keepers came back: %v", f.At.Sub(back).Round(time.Millisecond), f.Err)
		}
	}
	l.nothingLost(t, ctx, s.Servers)
}
