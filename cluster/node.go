package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/transport/api"
)

const (
	transportTimeout  = 3 * time.Second // of one Raft RPC; a snapshot gets this per 256 KiB
	transportPool     = 3               // idle connections kept to each keeper
	maxAppendEntries  = 128             // entries in one AppendEntries and one batch
	transferTimeout   = 2 * time.Second // to hand over leadership when closing
	closeTimeout      = 10 * time.Second
	notifyBuffer      = 16
	observationBuffer = 64
)

// Node is one keeper of a group.
type Node struct {
	cfg     Config
	log     hclog.Logger
	raftLog raftLogger
	stores  *stores
	guard   *guard
	watch   *watchdog
	stream  *stream
	trans   *raft.NetworkTransport
	book    *addressBook
	applier *applier
	raft    *raft.Raft
	live    atomic.Pointer[raft.Raft] // the same, for what raft's goroutines call
	metrics *metrics

	proposals chan struct{} // one for each that waits
	prover    *prover
	tenures   tenures
	group     group
	digest    digest
	same      *sameState

	notify   chan bool     // raft's leadership changes; always drained
	raftDown chan struct{} // closed when raft no longer runs: notify may rest
	ctx      context.Context
	cancel   context.CancelFunc
	loops    sync.WaitGroup
	futures  sync.WaitGroup // goroutines that wait for a future of raft

	down     chan raft.Future // of raft's shutdown, once
	dead     chan struct{}    // closed when the node stops, by itself or by Close
	fatal    chan error
	stopOnce sync.Once
	reason   error // why it stopped; set before dead is closed

	closeOnce sync.Once
	closeErr  error
}

// Open opens the data directory, replays it and starts the node. It returns
// before the node is part of a group: see WaitReady. ctx bounds nothing but the
// opening; Close stops the node.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open keeper: %w", err)
	}
	cfg = cfg.withDefaults()
	cfg.Join = slices.Clone(cfg.Join)
	raftLog := newRaftLogger(cfg.Logger.Named("raft"))
	opened, err := openStores(cfg, raftLog)
	if err != nil {
		return nil, err
	}
	n := newNode(cfg, opened, raftLog)
	if err := n.startRaft(); err != nil {
		return nil, errors.Join(err, n.closeTransport(), opened.close())
	}
	if err := n.metrics.register(cfg.Registry, n); err != nil {
		return nil, errors.Join(fmt.Errorf("open keeper: %w", err), n.kill())
	}
	n.startLoops()
	return n, nil
}

func newNode(cfg Config, opened *stores, raftLog raftLogger) *Node {
	n := &Node{
		cfg:       cfg,
		log:       cfg.Logger,
		raftLog:   raftLog,
		stores:    opened,
		metrics:   newMetrics(),
		proposals: make(chan struct{}, maxProposals),
		prover:    newProver(),
		same:      newSameState(cfg.Logger),
		notify:    make(chan bool, notifyBuffer),
		raftDown:  make(chan struct{}),
		down:      make(chan raft.Future, 1),
		dead:      make(chan struct{}),
		fatal:     make(chan error, 1),
	}
	n.group.joining = make(chan struct{}, 1)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.watch = newWatchdog(cfg.DiskTimeout, func(err error) { n.guard.fail(err) })
	n.guard = &guard{store: opened.log, report: n.fail, writes: n.metrics.writes, watch: n.watch, wrote: opened.space.wrote, room: opened.space.emergency}
	n.applier = &applier{machine: cfg.Machine, halt: n.fail, size: n.metrics.snapshotBytes, same: n.same}
	n.book = &addressBook{self: raft.ServerID(n.ID()), local: cfg.Advertise, registry: n.configuration}
	n.stream = &stream{
		listener: cfg.Listener,
		dial:     cfg.Dial,
		local:    advertised(cfg.Advertise),
		self:     n.ID(),
		cluster:  n.ClusterID,
		judge:    n.judge,

		incarnation: opened.identity.get().Incarnation,
		known:       n.incarnationOf,
		older:       n.older,

		stall: cfg.stallTimeout,
		log:   newRaftLogger(n.log), // anybody can dial: one line a while
	}
	return n
}

// startRaft restores the newest snapshot and starts raft.
func (n *Node) startRaft() error {
	cache, err := raft.NewLogCache(logCacheSize, n.guard)
	if err != nil {
		return fmt.Errorf("open keeper: %w", err)
	}
	n.stream.start()
	n.trans = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: n.book,
		Logger:                n.raftLog,
		Stream:                n.stream,
		MaxPool:               transportPool,
		Timeout:               transportTimeout,
	})
	logs := &retained{LogStore: cache}
	n.raft, err = replay(func() (*raft.Raft, error) {
		return raft.NewRaft(n.raftConfig(), n.applier, logs, n.guard, watchedSnapshots{n.stores.snapshots, n.watch}, raftTransport{n.trans, logs})
	})
	if err != nil {
		return fmt.Errorf("open keeper: %w", err)
	}
	n.live.Store(n.raft)
	n.guard.arm()
	n.loops.Go(n.tenureLoop) // at once: raft waits when nobody drains notify
	n.loops.Go(func() {
		<-n.dead
		n.raftLog.stop()
		future := n.raft.Shutdown()
		if err := n.closeTransport(); err != nil {
			n.log.Warn("cannot close the Raft listener", "error", err)
		}
		n.down <- future
	})
	return nil
}

// replay starts raft. It reads the snapshots and the whole log, and panics when
// entries are missing or cannot be decoded.
func replay(start func() (*raft.Raft, error)) (r *raft.Raft, err error) {
	err = faultless("the log cannot be replayed", func() error {
		r, err = start()
		return err
	})
	return r, err
}

func (n *Node) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.ID())
	c.HeartbeatTimeout = n.cfg.Timing.Heartbeat
	c.ElectionTimeout = n.cfg.Timing.Election
	c.LeaderLeaseTimeout = min(n.cfg.Timing.Lease, n.cfg.Timing.Heartbeat-promptStep)
	c.CommitTimeout = n.cfg.Timing.Commit
	c.MaxAppendEntries = maxAppendEntries
	c.SnapshotThreshold = n.cfg.SnapshotThreshold
	c.SnapshotInterval = n.cfg.SnapshotInterval
	c.TrailingLogs = n.cfg.TrailingLogs
	// Raft must not stop by itself: the node says why, and closes what it owns.
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	c.NotifyCh = n.notify
	c.Logger = n.raftLog
	return c
}

func (n *Node) startLoops() {
	observations := make(chan raft.Observation, observationBuffer)
	observer := raft.NewObserver(observations, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	n.raft.RegisterObserver(observer)
	n.loops.Go(func() {
		defer n.raft.DeregisterObserver(observer)
		n.observeLoop(n.ctx, observations)
	})
	n.loops.Go(func() { n.watch.run(n.ctx) })
	n.loops.Go(func() { n.spaceLoop(n.ctx) })
	n.loops.Go(func() { n.proveLoop(n.ctx) })
	n.loops.Go(func() { n.promptLoop(n.ctx) })
	n.loops.Go(func() { n.membershipLoop(n.ctx) })
	n.loops.Go(func() { n.learnLoop(n.ctx) })
	n.loops.Go(func() { n.sameLoop(n.ctx) })
	n.loops.Go(func() { _ = n.Lead(n.ctx, n.duties) }) // ends with the node
	n.loops.Go(func() { _ = n.Lead(n.ctx, n.compareDuty) })
}

// ID is the member id: random, and the data directory's for its life.
func (n *Node) ID() string { return n.stores.identity.get().MemberID }

// ClusterID is empty until the node applied the group's first command.
func (n *Node) ClusterID() string { return n.stores.identity.get().ClusterID }

// Fatal yields the one error that ended the node by itself. Whoever opened it
// should log it, Close the node and exit; but not Close it after ErrDiskHung.
func (n *Node) Fatal() <-chan error { return n.fatal }

// fail ends the node because it must not go on. It may be called by raft's own
// goroutines and returns at once.
func (n *Node) fail(err error) {
	if n.stop(err) {
		n.fatal <- err // before the log, which may be on the disk that hangs
		n.log.Error("this keeper stops", "error", err)
	}
}

// stop makes every call refuse; false when that was done before.
func (n *Node) stop(err error) bool {
	first := false
	n.stopOnce.Do(func() {
		first = true
		n.reason = err
		close(n.dead)
		n.cancel()
	})
	return first
}

// usable is nil while the node serves.
func (n *Node) usable() error {
	select {
	case <-n.dead:
		return n.stopped()
	default:
		return nil
	}
}

func (n *Node) stopped() error {
	select {
	case <-n.dead:
		if n.reason != nil {
			return api.Errorf(api.NotReady, "this keeper stopped: %v", n.reason)
		}
	default:
	}
	return api.Errorf(api.NotReady, "this keeper is stopping")
}

// Close hands leadership over if it can within two seconds, stops the node and
// waits for it, within ctx and at most ten seconds. Further calls return what
// the first returned.
func (n *Node) Close(ctx context.Context) error {
	n.closeOnce.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, closeTimeout)
		defer cancel()
		n.handOver(ctx)
		n.stop(nil)
		n.closeErr = n.finish(ctx)
	})
	return n.closeErr
}

// kill stops the node without handing over, as a crash would.
func (n *Node) kill() error {
	n.closeOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		n.stop(nil)
		n.closeErr = n.finish(ctx)
	})
	return n.closeErr
}

// finish waits until raft and every goroutine of a stopped node have ended, and
// closes the data directory. While raft still runs (a disk that hangs) it stays
// open for the rest of the process.
func (n *Node) finish(ctx context.Context) error {
	future := <-n.down
	raftEnded, allEnded := make(chan error, 1), make(chan struct{})
	go func() {
		raftEnded <- future.Error()
		close(n.raftDown)
		n.loops.Wait()
		n.futures.Wait()
		close(allEnded)
	}()
	select {
	case err := <-raftEnded:
		if err != nil {
			return fmt.Errorf("stop raft: %w", err)
		}
	case <-ctx.Done():
		return fmt.Errorf("stop raft: %w: the data directory stays open", ctx.Err())
	}
	select {
	case <-allEnded:
	case <-ctx.Done():
		n.log.Warn("some calls did not end with the node") // they wait for futures that raft forgot
	}
	return n.stores.close()
}

func (n *Node) closeTransport() error {
	err := n.trans.Close()
	n.trans.CloseStreams()
	return errors.Join(err, n.stream.Close())
}
