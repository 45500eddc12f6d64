package cluster

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// slowLink is a link of so many bytes a second, both ways together.
type slowLink struct {
	rate    int
	carried atomic.Int64
}

type slowConn struct {
	net.Conn
	link *slowLink
}

func (c slowConn) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		part := p[sent:min(sent+64<<10, len(p))]
		n, err := c.Conn.Write(part)
		sent += n
		c.link.carried.Add(int64(n))
		if err != nil {
			return sent, err
		}
		time.Sleep(time.Duration(n) * time.Second / time.Duration(c.link.rate)) // the link's own time
	}
	return sent, nil
}

// A follower behind a slow link gets a large snapshot, although entries come
// and snapshots are taken all the time, and although it is killed in the middle.
func TestSlowFollowerLargeSnapshot(t *testing.T) {
	f := newFleet(t)                     // alone: it keeps disk and processor busy
	const sections, size = 26, 500 << 10 // 13 MiB
	join := f.reserve("k1", "k2", "k3")
	link := &slowLink{rate: 12 << 20}
	f.setup = func(_ string, c *Config) {
		c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 100, 300*time.Millisecond, 20
		c.Timing.Heartbeat, c.Timing.Election = 600*time.Millisecond, 600*time.Millisecond
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err == nil && address == join[2] {
				conn = slowConn{conn, link}
			}
			return conn, err
		}
	}
	var nodes []*Node
	for _, name := range []string{"k1", "k2"} {
		nodes = append(nodes, f.mustOpen(f.config(name, 2, join[:2]...)))
	}
	f.ready(nodes...)
	value := strings.Repeat("x", size)
	for i := range sections {
		f.mustPut(fmt.Sprint(i), value)
	}
	for i := range 100 { // the large entries are in a snapshot, not in the log
		f.mustPut("counter", fmt.Sprint(i))
	}
	leader := f.leader(nodes...)
	f.eventually("a snapshot", func() bool { return firstIndex(t, leader) > sections })
	slow := f.mustOpen(f.config("k3", 0, join[:2]...))

	ctx, stop := context.WithCancel(t.Context())
	var acked, longest atomic.Int64
	var writer sync.WaitGroup
	writer.Go(func() {
		for ctx.Err() == nil {
			start := time.Now()
			for _, n := range nodes {
				if _, err := put(ctx, n, "counter", fmt.Sprint(acked.Load())); err == nil {
					acked.Add(1)
					longest.Store(max(longest.Load(), int64(time.Since(start))))
				}
			}
			pause(ctx, 2*time.Millisecond)
		}
	})
	f.eventually("a third of the snapshot is there", func() bool { return link.carried.Load() > sections*size/3 })
	f.crash(slow)
	slow = f.restart(slow)
	f.eventually("the follower has caught up", func() bool {
		return get(slow.State(), "0") != "" && slow.raft.AppliedIndex()+10 > max(nodes[0].raft.LastIndex(), nodes[1].raft.LastIndex())
	})
	stop()
	writer.Wait()
	t.Logf("%d writes were acknowledged meanwhile, the slowest after %v; %d MiB were sent for a state of %d MiB",
		acked.Load(), time.Duration(longest.Load()).Round(time.Millisecond), link.carried.Load()>>20, sections*size>>20)
	if acked.Load() < 40 {
		t.Error("the group did not serve meanwhile")
	}
	if sent := link.carried.Load(); sent > 3*sections*size {
		t.Errorf("%d MiB were sent: one snapshot after another", sent>>20)
	}
	f.eventually("all are the same", func() bool { return slow.State().Hash() == f.leader(nodes...).State().Hash() })
}

func TestRetained(t *testing.T) {
	store := raft.NewInmemStore()
	r := &retained{LogStore: store}
	for i := uint64(1); i <= 100; i++ {
		if err := store.StoreLog(&raft.Log{Index: i}); err != nil {
			t.Fatal(err)
		}
	}
	first := func(last, want uint64) {
		t.Helper()
		from, _ := store.FirstIndex()
		if err := r.DeleteRange(from, last); err != nil {
			t.Fatal(err)
		}
		if got, _ := store.FirstIndex(); got != want {
			t.Errorf("after deleting up to %d the log begins at %d, want %d", last, got, want)
		}
	}
	first(10, 11)
	a, b := r.sending("a", 20), r.sending("b", 30)
	first(50, 20) // a needs 21, and 20 as the one before
	first(50, 20)
	a(errCut)
	first(50, 30)
	b(nil) // it arrived, what follows is being sent
	first(50, 30)
	if got := r.limit(50, time.Now().Add(2*catchUpTime)); got != 50 {
		t.Errorf("entries are kept for good: up to %d can be deleted", got)
	}
	r.sending("c", 30)
	if last := uint64(30 + maxRetained); r.limit(last, time.Now()) != last {
		t.Error("more than the most is kept")
	}
}
