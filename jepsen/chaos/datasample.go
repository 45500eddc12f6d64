package chaos

import (
	"context"
	"sync"
	"time"

	"github.com/zerokeeper/zero/jepsen/check"
)

const (
	lookEvery   = 40 * time.Millisecond
	lookTimeout = 300 * time.Millisecond
	// guardGrace is how long an agent must have run undisturbed before its server is held against it: it fences within a
	// lease, less what it keeps in hand.
	guardGrace = 3 * time.Second
)

// sampler looks all the time at who is writable, and at what each process holds.
type sampler struct {
	data   *Data
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	looks  []check.DBLook
	sights []check.Sight
	latest map[string]string     // text of the last sight of each
	unfit  map[int]time.Duration // until when a host's agent does not count, by the run's time
}

// startSampler begins to look.
func (d *Data) startSampler(ctx context.Context) *sampler {
	ctx, cancel := context.WithCancel(ctx)
	s := &sampler{data: d, cancel: cancel, unfit: map[int]time.Duration{}, latest: map[string]string{}}
	s.wg.Go(func() { s.sightings(ctx) })
	for i, h := range d.Hosts {
		s.wg.Go(func() {
			for ctx.Err() == nil {
				s.look(ctx, i, h)
				wait(ctx, lookEvery)
			}
		})
	}
	return s
}

// stop ends it and returns what was seen.
func (s *sampler) stop() []check.DBLook {
	s.cancel()
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// look asks root's connection, which no partition cuts.
func (s *sampler) look(ctx context.Context, i int, h *DBHost) {
	if !h.Running() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	l := check.DBLook{Server: h.Name(), Asked: s.data.run.Timeline.Since()}
	value, err := h.Value(ctx, "SELECT @@global.read_only")
	if err != nil {
		return // it is dead, or stopped: whoever writes there is seen by what is acknowledged
	}
	l.Answered, l.ReadOnly = s.data.run.Timeline.Since(), value != "0"
	s.mu.Lock()
	defer s.mu.Unlock()
	l.Guarded = h.Agent.Running() && l.Asked > s.unfit[i]
	s.looks = append(s.looks, l)
}

// excuse says that the agent of host i cannot act now (paused, killed, or just back): until it has had guardGrace its server is not
// held against it. Call it when the agent is stopped and again when it goes on.
func (s *sampler) excuse(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unfit[i] = s.data.run.Timeline.Since() + guardGrace
}

// excuseFor is excuse for a fault of a known length.
func (s *sampler) excuseFor(i int, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unfit[i] = max(s.unfit[i], s.data.run.Timeline.Since()+d+guardGrace)
}
