package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/zerokeeper/zero/jepsen/check"
)

const (
	registerID = "register" // the sections' first key of each workload
	setID      = "set"
	counterID  = "counter"

	opsPerKey  = 240 // at most so many operations on one register: the checker's time explodes with them
	activeKeys = 10
)

// workload is clients that run until they are stopped.
type workload struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	conns  []*client
}

// stop ends the clients and waits for them.
func (w *workload) stop() {
	w.cancel()
	w.wg.Wait()
	for _, c := range w.conns {
		_ = c.conn.Close() // nothing is under way any more
	}
}

// startWorkload starts n clients, each doing step about every pause. Even ones
// know all keepers, odd ones one to begin with: they learn of the others by
// redirects only.
func (r *Run) startWorkload(ctx context.Context, n int, pause time.Duration, step func(ctx context.Context, c *client)) (*workload, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &workload{cancel: cancel}
	addrs := r.Quorum.addrs()[:r.Quorum.expect]
	for i := range n {
		endpoints := addrs
		if i%2 == 1 {
			endpoints = []string{addrs[i%len(addrs)]}
		}
		c, err := r.newClient(endpoints)
		if err != nil {
			w.stop()
			return nil, err
		}
		c.number = i
		w.conns = append(w.conns, c)
	}
	for _, c := range w.conns {
		w.wg.Go(func() {
			for ctx.Err() == nil {
				r.hush.RLock()
				step(ctx, c)
				r.hush.RUnlock()
				wait(ctx, pause/2+time.Duration(c.rand.Int64N(int64(pause))))
			}
		})
	}
	return w, nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// registers is the workload of reads, writes and compare-and-set on a few keys at
// a time. A key is left when it has had its operations.
type registers struct {
	mu    sync.Mutex
	used  []int // operations of the active ones
	value uint64
	seen  map[string]uint64 // the newest version that any client saw
}

func newRegisters() *registers {
	return &registers{used: make([]int, activeKeys), seen: map[string]uint64{}}
}

// next picks a key, a value that nobody wrote before, and the version that a
// compare-and-set will ask for.
func (g *registers) next(slot int) (key, value string, version uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used[slot]++
	generation := (g.used[slot] - 1) / opsPerKey
	key = fmt.Sprintf("r%d-%d", slot, generation)
	g.value++
	return key, fmt.Sprintf("v%d", g.value), g.seen[check.SectionKey(registerID, key)]
}

func (g *registers) saw(op check.Op) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if op.Outcome == check.OK {
		g.seen[op.Key] = max(g.seen[op.Key], op.GotVersion)
	}
}

func (g *registers) step(ctx context.Context, c *client) {
	key, value, version := g.next(c.rand.IntN(activeKeys))
	switch draw := c.rand.IntN(10); {
	case draw < 4:
		g.saw(c.get(ctx, registerID, key))
	case draw < 7:
		g.saw(c.put(ctx, registerID, key, value, nil))
	default:
		g.saw(c.put(ctx, registerID, key, value, &version))
	}
}

// additions is the workload of elements that are each written once.
type additions struct {
	mu   sync.Mutex
	last int
}

func (a *additions) step(ctx context.Context, c *client) {
	a.mu.Lock()
	a.last++
	element := fmt.Sprintf("e%06d", a.last)
	a.mu.Unlock()
	c.put(ctx, setID, element, element, nil)
}
