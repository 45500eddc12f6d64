package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/load"
	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/lease"
)

// TestFailsafe (R18): every keeper dies, and the fleet goes on as long as the agents
// of all replicas promise, and no longer.
func TestFailsafe(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	s := newScene(t, ctx, stage.Config{Failsafe: true, Switch: []string{"  auto_failover: true"}})
	s.play(t, ctx, []act{
		{"keepers gone", s.keepersGone},
		{"frozen lender", s.frozenLender},
		{"stop", s.stopAll},
	})
}

// keepersGone: writes go on through the proxies for several leases. When the agent
// of one replica is gone too, the primary is read-only before anybody's promise is
// over. Keepers that come back find everything as it was.
func (s *scene) keepersGone(t *testing.T, ctx context.Context) {
	l := s.underLoad(t, ctx)
	primary := s.group(t, ctx).Writable
	replica, last := (primary+1)%len(s.Servers), (primary+2)%len(s.Servers)
	l.lost = s.killKeepers(t)
	s.failsafeHolds(t, ctx, primary)
	for end := l.lost.Add(9 * stage.Lease / 4); time.Now().Before(end); {
		l.more(t, ctx, 20)
	}
	if gap := l.work.Gap(load.Span{From: l.lost, To: time.Now()}); gap > time.Second {
		t.Errorf("nothing was acknowledged for %v after the keepers were gone", gap.Round(time.Millisecond))
	}
	for _, p := range s.Proxies {
		s.shows(t, ctx, p.URL("/metrics"), "zero_proxy_group_lease_lent", func(v float64) bool { return v == 1 })
	}

	gone := time.Now()
	s.Agents[replica].ExpectEnd()
	if err := s.Agents[replica].Kill(); err != nil {
		t.Fatal(err)
	}
	s.readOnly(t, ctx, primary, "1")
	t.Logf("read-only %v after the agent of a replica was killed", time.Since(gone).Round(time.Millisecond))
	if left := s.metric(t, ctx, s.Agents[last].URL("/metrics"), "zero_agent_failsafe_promise_seconds"); left <= 0 {
		t.Error("the primary was read-only only when a promise was over")
	}
	s.shows(t, ctx, s.Agents[primary].URL("/metrics"), "zero_agent_failsafe", func(v float64) bool { return v == 0 })

	startKeepers(t, ctx, s.Keepers)
	if err := s.Agents[replica].Start(ctx); err != nil {
		t.Fatal(err)
	}
	s.normal(t, ctx, l, gone, primary)
}

// frozenLender: the agent of the primary stands still. What it has lent ends, and
// nobody writes; when it goes on it makes its server read-only first.
func (s *scene) frozenLender(t *testing.T, ctx context.Context) {
	l := s.underLoad(t, ctx)
	primary := s.group(t, ctx).Writable
	l.lost = s.killKeepers(t)
	s.failsafeHolds(t, ctx, primary)
	for _, p := range s.Proxies {
		s.shows(t, ctx, p.URL("/metrics"), "zero_proxy_group_lease_lent", func(v float64) bool { return v == 1 })
	}
	frozen := time.Now()
	resume := pause(t, ctx, s.Agents[primary].Proc)
	defer resume()
	for _, p := range s.Proxies { // before a promise could be over
		s.shows(t, ctx, p.URL("/metrics"), "zero_proxy_group_open", func(v float64) bool { return v == 0 })
	}
	for i, a := range s.Agents {
		if i == primary {
			continue
		}
		if left := s.metric(t, ctx, a.URL("/metrics"), "zero_agent_failsafe_promise_seconds"); left <= 0 {
			t.Logf("%s: its promise was over when the last proxy was seen held", a.Name())
		}
	}
	before, _ := l.work.Acknowledged()
	time.Sleep(lease.For(stage.Lease).Promise / 4) // nothing may happen
	if now, _ := l.work.Acknowledged(); now != before {
		t.Errorf("%d writes were acknowledged when what was lent was over", now-before)
	}
	resume()
	s.shows(t, ctx, s.Agents[primary].URL("/metrics"), "zero_agent_failsafe_lease_seconds", func(v float64) bool { return v > 0 })
	l.more(t, ctx, 20) // by a lease of its own again, without a keeper
	startKeepers(t, ctx, s.Keepers)
	s.normal(t, ctx, l, frozen, primary)
}

// killKeepers ends all keepers at once.
func (s *scene) killKeepers(t *testing.T) time.Time {
	t.Helper()
	now := time.Now()
	for _, k := range s.Keepers {
		k.ExpectEnd()
		if err := k.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	return now
}

// failsafeHolds waits until the agent of the primary says so.
func (s *scene) failsafeHolds(t *testing.T, ctx context.Context, primary int) {
	t.Helper()
	s.shows(t, ctx, s.Agents[primary].URL("/metrics"), "zero_agent_failsafe", func(v float64) bool { return v == 1 })
	has(t, "the agent's log", s.Agents[primary].LogTail(50), "failsafe holds")
}

// normal: with keepers all is as before, the same primary included.
func (s *scene) normal(t *testing.T, ctx context.Context, l *losing, ended time.Time, primary int) {
	t.Helper()
	s.healthy(t, ctx)
	l.more(t, ctx, 20)
	if now := s.group(t, ctx).Writable; now != primary {
		t.Errorf("the primary is %d, it was %d: nothing was wrong with it", now, primary)
	}
	s.shows(t, ctx, s.Agents[primary].URL("/metrics"), "zero_agent_failsafe", func(v float64) bool { return v == 0 })
	for _, p := range s.Proxies {
		s.shows(t, ctx, p.URL("/metrics"), "zero_proxy_group_lease_lent", func(v float64) bool { return v == 0 })
	}
	l.watch.end(t)
	l.work.Stop()
	failed := l.work.Failures(l.work.Span())
	counts := load.Count(failed)
	if counts[load.Other] > 0 || counts[load.InDoubt] > perProxy*len(l.Proxies) {
		t.Errorf("clients saw %v; %d connections may have lost what was in flight when the lease ended", counts, perProxy*len(l.Proxies))
	}
	for _, f := range failed {
		if f.At.Before(ended) {
			t.Errorf("%v after the keepers were gone, while failsafe held: %v", f.At.Sub(l.lost), f.Err)
			break
		}
	}
	l.nothingLost(t, ctx, s.Servers)
	writes, rows := l.work.Acknowledged()
	t.Logf("%d writes, %d rows; clients saw %v; %d looks at the servers", writes, rows, counts, l.watch.looks)
}

// shows waits until a metric is as it should be.
func (s *scene) shows(t *testing.T, ctx context.Context, url, name string, good func(float64) bool) {
	t.Helper()
	eventually(t, ctx, settled, url+" "+name, func(ctx context.Context) error {
		v, err := metricOf(ctx, url, name)
		if err == nil && !good(v) {
			err = fmt.Errorf("it is %v", v)
		}
		return err
	})
}

func (s *scene) metric(t *testing.T, ctx context.Context, url, name string) float64 {
	t.Helper()
	v, err := metricOf(ctx, url, name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// metricOf is the first value of a metric, whatever its labels.
func metricOf(ctx context.Context, url, name string) (float64, error) {
	_, body, err := fleet.Get(ctx, url)
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			return strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", url, name)
}
