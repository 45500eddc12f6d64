package sim

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/cluster"
)

var (
	errDisk     = errors.New("sim: input/output error")
	errCrashed  = errors.New("sim: the machine is off")
	errNotFound = errors.New("not found") // raft knows it by this text
)

const (
	retained  = 3                      // snapshots
	writeback = time.Second            // how often a disk without sync is synced all the same
	diskDelay = 200 * time.Microsecond // at most, of a healthy disk
)

// image is what stands on a disk.
type image struct {
	logs        map[uint64]raft.Log
	first, last uint64
	values      map[string][]byte
	numbers     map[string]uint64
	snapshots   []*stored // newest first
}

func newImage() *image {
	return &image{logs: make(map[uint64]raft.Log), values: make(map[string][]byte), numbers: make(map[string]uint64)}
}

func (i *image) clone() *image {
	c := *i
	c.logs, c.values, c.numbers = maps.Clone(i.logs), maps.Clone(i.values), maps.Clone(i.numbers)
	c.snapshots = slices.Clone(i.snapshots)
	return &c
}

// change is one write. It is done as a whole or not at all, as a transaction of
// bbolt is.
type change func(*image)

// disk is a machine's disk. What is on it outlives the nodes that open it, one
// after the other.
type disk struct {
	noSync bool // the control: writes are answered before they are durable

	mu       sync.Mutex
	rng      *rand.Rand
	durable  *image
	identity []byte
	open     *volume
	lost     int // writes that crashes lost
	minDelay time.Duration
	maxDelay time.Duration
	stalled  chan struct{} // closed when a stall ends; nil when there is none
	broken   bool          // the next write fails
}

func newDisk(rng *rand.Rand, noSync bool) *disk {
	return &disk{rng: rng, noSync: noSync, durable: newImage(), maxDelay: diskDelay}
}

// mount opens the disk for one start of a node.
func (d *disk) mount() *volume {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := &volume{disk: d, view: d.durable, off: make(chan struct{}), synced: time.Now()}
	if d.noSync {
		v.view = d.durable.clone()
	}
	d.open = v
	return v
}

// crash turns the machine off: of the writes that are not synced a prefix is
// kept. The open volume does nothing more.
func (d *disk) crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.open
	if v == nil {
		return
	}
	d.open = nil
	close(v.off)
	kept := d.rng.IntN(len(v.pending) + 1)
	for _, c := range v.pending[:kept] {
		c(d.durable)
	}
	d.lost += len(v.pending) - kept
	v.pending = nil
}

// wipe makes the disk empty, as a new machine's.
func (d *disk) wipe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.durable, d.identity = newImage(), nil
}

// losses counts the writes that crashes took.
func (d *disk) losses() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lost
}

// pace sets how long a write takes.
func (d *disk) pace(least, most time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.minDelay, d.maxDelay = least, most
}

// stall makes every write wait until the returned function is called.
func (d *disk) stall() (resume func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.stalled = gate
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		close(gate)
		if d.stalled == gate {
			d.stalled = nil
		}
	})
}

// fail makes the next write return an error; false takes that back.
func (d *disk) fail(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = on
}

// volume is a disk as one start of a node sees it: a cluster.Storage.
type volume struct {
	disk    *disk
	view    *image // the disk's own, or a copy with what is not synced
	pending []change
	synced  time.Time
	off     chan struct{} // closed by a crash
}

var _ cluster.Storage = (*volume)(nil)

// write does a change and returns when it is durable, or was to be. It waits
// outside the lock: a lock is no durable block of a bubble.
func (v *volume) write(c change) error {
	d := v.disk
	d.mu.Lock()
	delay := d.minDelay
	if d.maxDelay > d.minDelay {
		delay += time.Duration(d.rng.Int64N(int64(d.maxDelay - d.minDelay)))
	}
	stalled := d.stalled
	early := d.rng.IntN(2) == 0 // a crash while the write waits may find it done
	d.mu.Unlock()
	if early {
		if err := v.commit(c); err != nil {
			return err
		}
	}
	if err := v.wait(delay, stalled); err != nil {
		return err
	}
	if early {
		return nil
	}
	return v.commit(c)
}

func (v *volume) wait(delay time.Duration, stalled <-chan struct{}) error {
	if stalled != nil {
		select {
		case <-stalled:
		case <-v.off:
			return errCrashed
		}
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-v.off:
		return errCrashed
	}
}

func (v *volume) commit(c change) error {
	d := v.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != v {
		return errCrashed
	}
	if d.broken {
		d.broken = false
		if d.rng.IntN(2) == 0 {
			c(v.view) // an error does not say that nothing was written
		}
		return errDisk
	}
	c(v.view)
	if !d.noSync {
		return nil
	}
	v.pending = append(v.pending, c)
	if time.Since(v.synced) >= writeback {
		v.flush()
	}
	return nil
}

// flush makes what is pending durable.
func (v *volume) flush() {
	for _, c := range v.pending {
		c(v.disk.durable)
	}
	v.pending, v.synced = nil, time.Now()
}

// Close syncs the volume and gives the disk back.
func (v *volume) Close() error {
	v.disk.mu.Lock()
	defer v.disk.mu.Unlock()
	if v.disk.open == v {
		v.flush()
		v.disk.open = nil
		close(v.off)
	}
	return nil
}
