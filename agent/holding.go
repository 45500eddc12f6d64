package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/durable"
	"github.com/zerokeeper/zero/transport/lease"
)

// errNoLease: nothing allows this server to be writable now.
var errNoLease = errors.New("this agent has no lease to be writable")

// holding is the lease that lets the server be writable (R14). Its moments are
// read from the clock of leases whenever they count; timers only remind.
type holding struct {
	hurry func()        // a heartbeat is wanted at once
	wake  chan struct{} // the guard is to look

	mu      sync.Mutex
	end     lease.Instant // 0: never had one
	times   lease.Times
	stamp   api.Stamp
	open    bool          // the newest grant names this server, and no order took that back
	changed chan struct{} // closed at every grant

	// loose: the server may be writable; nothing has confirmed that it is not.
	loose bool
	// bound: keepers may count on the end of a lease, so that a server that cannot
	// be made read-only by then is killed.
	bound bool
	// held: a lease was had in this process.
	held     bool
	loosened uint64 // counts how often it was allowed to become writable

	shuts  uint64               // counts how often it was taken back
	barred func() time.Duration // what is left of a promise to another; nil: none is given
}

func newHolding(hurry func()) *holding {
	return &holding{hurry: hurry, wake: make(chan struct{}, 1), changed: make(chan struct{}), loose: true}
}

// grant takes a lease of that length from the sending of its heartbeat (R10).
func (h *holding) grant(sent lease.Instant, times lease.Times, stamp api.Stamp) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end, h.times, h.stamp, h.open = sent.Add(times.Lease), times, stamp, true
	close(h.changed)
	h.changed = make(chan struct{})
}

// shut takes back what the newest grant allowed: the server is not made writable
// any more. A lease that was granted runs on, as its holder must be fenced by its end.
func (h *holding) shut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = false
	h.shuts++
}

// Holds says whether the server may be made, or stay, writable now.
func (h *holding) Holds() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.holds()
}

func (h *holding) holds() error {
	now := lease.Now()
	switch {
	case h.end == 0:
		return errNoLease
	case !h.open:
		return fmt.Errorf("%w: the newest grant does not name this server", errNoLease)
	case h.barred != nil && h.barred() > 0: // R13
		return fmt.Errorf("%w: this agent promised another primary to accept no promotion", errNoLease)
	case now >= h.end.Add(-h.times.Fence):
		return fmt.Errorf("%w: the last one ends in %v", errNoLease, h.end.Sub(now))
	}
	return nil
}

// Await waits for a lease, at most leaseWait: whoever commits a switch grants it
// with the next heartbeat, which is sent at once.
func (h *holding) Await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseWait)
	defer cancel()
	for {
		h.mu.Lock()
		err := h.holds()
		if err == nil { // from here on it may be writable
			h.loose, h.bound, h.held = true, true, true
			h.loosened++
		}
		changed := h.changed
		h.mu.Unlock()
		if err == nil {
			poke(h.wake)
			return nil
		}
		h.hurry()
		select {
		case <-changed:
		case <-ctx.Done():
			return err
		}
	}
}

// leaseWait bounds the wait for the lease of a server that is promoted. It is
// asked for again.
const leaseWait = 1500 * time.Millisecond

// suspect notes that the server may be writable: it was seen so, or started anew.
func (h *holding) suspect() {
	h.mu.Lock()
	h.loose = true
	if lease.Until(h.end) > 0 {
		h.bound = true
	}
	h.mu.Unlock()
	poke(h.wake)
}

// settle notes that the server is read-only or dead, unless it was allowed to
// become writable since begin.
func (h *holding) settle(begin uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loosened == begin {
		h.loose, h.bound = false, false
	}
}

// overdue reports whether the server may be writable and must not be, now; the
// count is for settle. If it is not, look again after the pause.
func (h *holding) overdue() (is bool, count uint64, pause time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.loose {
		return false, h.loosened, time.Second
	}
	left := lease.Until(h.end.Add(-h.times.Fence))
	if h.end == 0 || left <= 0 {
		return true, h.loosened, 0
	}
	return false, h.loosened, min(left, guardTick)
}

// deadline is when a server that is not confirmed read-only is killed, whether it
// is at all, and whether a lease of this process ends.
func (h *holding) deadline() (at lease.Instant, kill, held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end != 0 {
		at = h.end.Add(-h.times.Kill)
	}
	return at, h.bound, h.held
}

// left is the time until the server must begin to be read-only, 0 without a lease.
func (h *holding) left() (time.Duration, lease.Times) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end == 0 {
		return 0, h.times
	}
	return max(0, lease.Until(h.end.Add(-h.times.Fence))), h.times
}

// leaseFile is a lease on the disk, for the next process of this agent. It is
// written without a sync: it is worth something to the same run of the same
// machine only.
type leaseFile struct {
	Boot     string        `json:"boot"` // of the clock that End is on
	End      lease.Instant `json:"end"`
	Lease    time.Duration `json:"lease"`
	Stamp    api.Stamp     `json:"stamp"`
	Identity string        `json:"identity"`
	PID      int           `json:"pid"` // of the server
}

// save writes the lease for the next process.
func (h *holding) save(dir, boot, identity string, pid int) error {
	h.mu.Lock()
	f := leaseFile{Boot: boot, End: h.end, Lease: h.times.Lease, Stamp: h.stamp, Identity: identity, PID: pid}
	h.mu.Unlock()
	return writeUnsynced(filepath.Join(dir, leaseName), f)
}

const leaseName = "lease.json"

// resume takes up what the process before left (R14): only a lease that is alive,
// of this boot, and of the memory's own generation and role. The memory is on
// the disk before any answer that gives the role up, so a lease that was taken back is
// not taken up. It returns the server's process at that time.
func (h *holding) resume(dir, boot string, m memory) (pid int, resumed bool) {
	var f leaseFile
	found, err := durable.ReadJSON(filepath.Join(dir, leaseName), &f)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loose, h.bound = true, m.Role == rolePrimary
	if err != nil || !found || boot == "" || f.Boot != boot {
		return 0, false
	}
	times := lease.For(f.Lease)
	now := lease.Now()
	if times.Validate() != nil || now >= f.End || f.End > now.Add(f.Lease) {
		return 0, false
	}
	h.end, h.times, h.bound = f.End, times, true
	sameStamp := f.Stamp.Epoch == m.Stamp.Epoch && f.Stamp.Generation == m.Stamp.Generation
	if m.Role != rolePrimary || !sameStamp || f.Identity != m.ServerID || now >= f.End.Add(-times.Fence) {
		// Keepers may still count on it: what cannot be fenced by then is killed.
		h.end = lease.Now().Add(times.Fence) // overdue now, killed Fence − Kill later
		h.end = min(h.end, f.End)
		return 0, false
	}
	h.stamp, h.open, h.held = f.Stamp, true, true
	return f.PID, true
}

// bootID names this run of the machine, empty if it cannot be told.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// begun is for extend: what takes the role away from now on is noticed.
func (h *holding) begun() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shuts
}

// extend takes a failsafe lease (R18): to end, unless the role was taken away since
// begun. It is fenced and killed by as a keeper's is.
func (h *holding) extend(begun uint64, end lease.Instant, times lease.Times, stamp api.Stamp) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shuts != begun {
		return false
	}
	if end > h.end {
		h.end, h.times = end, times
	}
	h.stamp, h.open = stamp, true
	close(h.changed)
	h.changed = make(chan struct{})
	return true
}
