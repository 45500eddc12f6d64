package netns

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"
)

// hold keeps delayed packets until they are due and then delivers them, in the order of their time and, at the same time,
// of their coming.
type hold struct {
	deliver func(to int, b []byte)
	wake    chan struct{} // has room for one
	stop    chan struct{}
	done    chan struct{}

	mu    sync.Mutex
	queue heldQueue
	next  uint64 // number of the next packet
}

// held is a packet that is late.
type held struct {
	due     time.Time
	number  uint64
	to      int
	b       []byte
	waiting *atomic.Int64 // of its direction
}

func newHold(deliver func(to int, b []byte)) *hold {
	h := &hold{deliver: deliver, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go h.run()
	return h
}

// add takes a packet, unless limit of those that waiting counts are there already. It keeps b.
func (h *hold) add(due time.Time, to int, b []byte, waiting *atomic.Int64, limit int64) bool {
	if waiting.Add(1) > limit {
		waiting.Add(-1)
		return false
	}
	h.mu.Lock()
	heap.Push(&h.queue, held{due: due, number: h.next, to: to, b: b, waiting: waiting})
	h.next++
	first := h.queue[0].number == h.next-1
	h.mu.Unlock()
	if first {
		select {
		case h.wake <- struct{}{}:
		default: // it is about to look anyway
		}
	}
	return true
}

func (h *hold) run() {
	defer close(h.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-h.wake:
		case <-timer.C:
		}
		for {
			now := time.Now()
			p, wait, ok := h.take(now)
			if ok {
				h.deliver(p.to, p.b)
				p.waiting.Add(-1)
				continue
			}
			if wait > 0 {
				timer.Reset(wait)
			}
			break
		}
	}
}

// take gives the first packet if it is due, otherwise how long that will take; 0 if there is none.
func (h *hold) take(now time.Time) (held, time.Duration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) == 0 {
		return held{}, 0, false
	}
	if wait := h.queue[0].due.Sub(now); wait > 0 {
		return held{}, wait, false
	}
	return heap.Pop(&h.queue).(held), 0, true
}

// close stops the deliveries; what is held is dropped.
func (h *hold) close() {
	close(h.stop)
	<-h.done
}

// heldQueue is a heap, the packet that is due first on top.
type heldQueue []held

func (q heldQueue) Len() int      { return len(q) }
func (q heldQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q heldQueue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].number < q[j].number
}
func (q *heldQueue) Push(x any) { *q = append(*q, x.(held)) }
func (q *heldQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = held{} // so that its bytes can be freed
	*q = old[:len(old)-1]
	return last
}
