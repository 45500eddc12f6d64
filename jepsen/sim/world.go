package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerokeeper/zero/cluster"
	"github.com/zerokeeper/zero/fsm"
)

// timing of the simulated nodes: the default profile, with a slower commit so
// that an idle group sends less.
var timing = cluster.Timing{Heartbeat: 500 * time.Millisecond, Election: 500 * time.Millisecond, Lease: 500 * time.Millisecond, Commit: 50 * time.Millisecond}

const (
	maxTrace      = 4000 // lines
	maxViolations = 20
)

// world is one simulated group with all that happens to it.
type world struct {
	opt     Options
	seed    uint64
	start   time.Time
	net     *network
	members []*member
	rec     *recorder
	clock   atomic.Int64 // logical time of the clients' history

	calm     atomic.Bool // the chaos is over: restart at once, begin nothing new
	calmed   chan struct{}
	nemesis  *rand.Rand
	restarts atomic.Int64
	changes  atomic.Int64 // members that were removed and joined again

	mu         sync.Mutex
	lines      []string
	violations []violation
	ops        []operation

	// Set by the course of the run alone.
	schedule         []string
	firstOK, settled time.Duration
}

func newWorld(seed uint64, opt Options) *world {
	rng := rand.New(rand.NewPCG(seed, 1))
	nodes := 3 + 2*rng.IntN(2)
	w := &world{opt: opt, seed: seed, start: time.Now(), net: newNetwork(nodes, seed), calmed: make(chan struct{}), nemesis: rand.New(rand.NewPCG(seed, 2))}
	w.rec = newRecorder(&w.clock, w.violate)
	for i := range nodes {
		name := fmt.Sprintf("k%d", i+1)
		m := &member{
			world: w, place: i, name: name, at: name + ":7000",
			disk:   newDisk(rand.New(rand.NewPCG(seed, uint64(100+i))), opt.NoSync),
			orders: make(chan order, 4), rng: rand.New(rand.NewPCG(seed, uint64(200+i))),
			threshold: 20 + rng.Uint64N(30), trailing: 10 + rng.Uint64N(10),
		}
		w.members = append(w.members, m)
	}
	return w
}

// trace notes what happened, with the fake time since the start.
func (w *world) trace(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lines) < maxTrace {
		w.lines = append(w.lines, fmt.Sprintf("%9.3fs ", time.Since(w.start).Seconds())+fmt.Sprintf(format, args...))
	}
}

// Write takes the nodes' log.
func (w *world) Write(p []byte) (int, error) {
	w.trace("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

func (w *world) violate(invariant, format string, args ...any) {
	v := violation{invariant, fmt.Sprintf(format, args...)}
	w.trace("VIOLATION %s", v)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.violations) < maxViolations {
		w.violations = append(w.violations, v)
	}
}

// leader is a node that takes itself for the leader, nil when none does.
func (w *world) leader() *life {
	var best *life
	for _, m := range w.members {
		if l := m.life.Load(); l != nil && l.node.IsLeader() && (best == nil || l.node.Term() > best.node.Term()) {
			best = l
		}
	}
	return best
}

// member is one keeper: a name, an address and a disk.
type member struct {
	world               *world
	place               int
	name, at            string
	disk                *disk
	threshold, trailing uint64
	rng                 *rand.Rand
	starts              int
	orders              chan order
	life                atomic.Pointer[life] // nil while it is down
}

// order is what the nemesis does to a member.
type order struct {
	planned bool   // hand over and stop, instead of a crash
	wipe    string // lose the disk, if it is still that of the member with this id
	down    time.Duration
}

// obey gives an order, unless the member has enough of them already.
func (m *member) obey(o order) {
	select {
	case m.orders <- o:
	default:
	}
}

// life is one run of a member's node.
type life struct {
	member *member
	who    string // name and number of the start
	node   *cluster.Node
	gone   chan struct{} // closed when it crashes: what it says after that reaches nobody
	end    context.CancelFunc
	duties sync.WaitGroup
}

// heard reports whether what the node says still reaches somebody.
func (l *life) heard() bool {
	select {
	case <-l.gone:
		return false
	default:
		return true
	}
}

// run starts the member, and starts it again whenever it ends, until ctx ends.
func (m *member) run(ctx context.Context) {
	for ctx.Err() == nil {
		l, err := m.open(ctx)
		if err != nil {
			m.refused(err)
			m.rest(ctx, 200*time.Millisecond)
			continue
		}
		m.life.Store(l)
		down, ended := m.outlive(ctx, l)
		if ended {
			return
		}
		m.world.restarts.Add(1)
		m.rest(ctx, down)
	}
}

// outlive waits for what ends a node, and ends it. It returns how long the
// member is down then, or that the run is over.
func (m *member) outlive(ctx context.Context, l *life) (down time.Duration, ended bool) {
	for {
		select {
		case err := <-l.node.Fatal():
			m.judge(err)
			m.stop(l)
			if errors.Is(err, errForbidden) {
				m.disk.wipe() // what the message tells the operator to do
			}
			return between(m.rng, 20, 500), false
		case o := <-m.orders:
			if o.wipe != "" && o.wipe != l.node.ID() {
				continue // it was wiped meanwhile, and is another member now
			}
			if o.planned {
				m.shutdown(l)
			} else {
				m.stop(l)
			}
			if o.wipe != "" {
				m.world.changes.Add(1)
				m.disk.wipe()
			}
			return o.down, false
		case <-ctx.Done():
			m.shutdown(l)
			return 0, true
		}
	}
}

// rest is the time that a member is down; it ends with the chaos.
func (m *member) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.world.calmed:
		_ = sleep(ctx, 10*time.Millisecond) // not in a tight loop when it fails again and again
	case <-ctx.Done():
	}
}

// refused looks at why a member did not start. An error of the disk is the
// nemesis' work; the next start may do.
func (m *member) refused(err error) {
	m.world.trace("%s does not start: %v", m.name, err)
	switch {
	case m.world.opt.NoSync:
		m.disk.wipe() // what its operator would do, night after night
	case !strings.Contains(err.Error(), errDisk.Error()): // raft's panics wrap nothing
		m.world.violate("OPEN", "%s does not start: %v", m.name, err)
	}
}

// judge looks at why a node ended itself: a disk that failed, or a group that
// had removed it, is the nemesis' work; all else is not.
func (m *member) judge(err error) {
	m.world.trace("%s ended itself: %v", m.name, err)
	if errors.Is(err, cluster.ErrStore) || m.world.opt.NoSync {
		return
	}
	if errors.Is(err, errForbidden) && m.world.changes.Load() > 0 {
		return
	}
	m.world.violate("FATAL", "%s ended itself: %v", m.name, err)
}

// stop turns the member off at once: first nobody hears it, then it writes
// nothing any more, then its goroutines end.
func (m *member) stop(l *life) {
	m.world.trace("%s is off", l.who)
	close(l.gone)
	m.life.Store(nil)
	m.world.net.crashed(m.place, m.at)
	m.disk.crash()
	if err := l.node.Abort(); err != nil {
		m.world.violate("STOP", "%s: %v", l.who, err)
	}
	l.end()
	l.duties.Wait()
}

// shutdown stops the member as an operator does.
func (m *member) shutdown(l *life) {
	m.world.trace("%s shuts down", l.who)
	if err := l.node.Close(context.Background()); err != nil {
		m.world.trace("%s was stopped hard: %v", l.who, err)
	}
	m.life.Store(nil)
	close(l.gone)
	m.world.net.crashed(m.place, m.at)
	m.disk.crash() // of a disk that is closed: nothing
	l.end()
	l.duties.Wait()
}

// open starts the node, with the same configuration every time.
func (m *member) open(ctx context.Context) (*life, error) {
	m.starts++
	w := m.world
	l := &life{member: m, who: fmt.Sprintf("%s.%d", m.name, m.starts), gone: make(chan struct{})}
	listener, err := w.net.listen(m.place, m.at)
	if err != nil {
		return nil, err
	}
	cfg := cluster.DefaultConfig()
	cfg.Name, cfg.Advertise, cfg.Version = m.name, m.at, "sim"
	cfg.Storage = m.disk.mount()
	cfg.BootstrapExpect = len(w.members)
	for _, other := range w.members {
		cfg.Join = append(cfg.Join, other.at)
	}
	cfg.Peers = &peers{world: w, from: m.place}
	cfg.Listener = listener
	cfg.Dial = dialer(w.net, m.place)
	cfg.Machine = &witness{machine: fsm.New(), rec: w.rec, who: l.who}
	cfg.Logger = w.logger(l.who)
	cfg.Timing = timing
	cfg.SnapshotThreshold, cfg.SnapshotInterval, cfg.TrailingLogs = m.threshold, 200*time.Millisecond, m.trailing
	cfg.ApplyTimeout = 2 * time.Second
	node, err := cluster.Open(ctx, cfg)
	if err != nil {
		m.disk.crash()
		return nil, errors.Join(err, listener.Close())
	}
	l.node = node
	var alive context.Context
	alive, l.end = context.WithCancel(context.Background())
	l.duties.Go(func() { _ = node.Lead(alive, l.lead) }) // ends with the node, or with alive
	w.trace("%s runs", l.who)
	return l, nil
}
