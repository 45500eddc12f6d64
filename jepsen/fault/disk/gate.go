package disk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/zerokeeper/zero/jepsen/fault"
)

// An opKind says what an operation does to a disk, and so which faults meet it.
type opKind int

const (
	opRead   opKind = iota // looks
	opWrite                // writes data
	opGrow                 // needs space for something else: make, link, allocate, extend
	opChange               // changes without new space: remove, rename, shrink, chmod
	opSync                 // makes durable
)

const (
	// fateInterval is how often a waiting operation looks whether its caller lives.
	fateInterval = 25 * time.Millisecond
	// maxWaiting bounds the operations that wait in a driver; those beyond fail.
	maxWaiting = 4096
	sector     = 512 // bytes that a disk writes wholly or not at all
)

// gate decides what becomes of each operation of one FUSE.
type gate struct {
	slow     time.Duration
	affected atomic.Uint64
	waiting  atomic.Int64

	mu     sync.Mutex
	on     map[fault.DiskFault]bool
	torn   bool          // TornWrite has torn its write
	healed chan struct{} // closed by the next heal
	closed bool
}

func newGate(slow time.Duration) *gate {
	return &gate{slow: slow, on: map[fault.DiskFault]bool{}, healed: make(chan struct{})}
}

func (g *gate) begin(f fault.DiskFault) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	if f == fault.TornWrite {
		g.torn = false
	}
	g.on[f] = true
	return nil
}

// heal ends all faults and lets go what waits; with last no fault can begin.
func (g *gate) heal(last bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.on)
	g.torn = false
	g.closed = g.closed || last
	close(g.healed)
	g.healed = make(chan struct{})
}

// verdict is what becomes of one operation now.
type verdict struct {
	errno syscall.Errno
	hang  bool          // ask again after healed
	delay time.Duration // then go on
	tear  bool          // store a part, then fail
}

func (g *gate) judge(kind opKind) (verdict, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change := kind == opWrite || kind == opGrow || kind == opChange
	v := verdict{}
	switch {
	case g.on[fault.DiskGone]:
		v.errno = syscall.EIO
	case g.on[fault.DiskHung] && kind != opRead, g.on[fault.HungSync] && kind == opSync:
		v.hang = true
	case g.on[fault.ReadOnly] && change:
		v.errno = syscall.EROFS
	case g.on[fault.WriteError] && change, g.torn && change, g.on[fault.SyncError] && kind == opSync:
		v.errno = syscall.EIO
	case g.on[fault.WriteFull] && (kind == opWrite || kind == opGrow):
		v.errno = syscall.ENOSPC
	case g.on[fault.TornWrite] && kind == opWrite:
		g.torn = true
		v.errno, v.tear = syscall.EIO, true
	case g.on[fault.SlowSync] && kind == opSync:
		v.delay = g.slow
	}
	return v, g.healed
}

// pass lets an operation through, fails it or makes it wait, and counts what is
// not simply let through. tear: store a part before answering the error.
func (g *gate) pass(ctx context.Context, kind opKind) (errno syscall.Errno, tear bool) {
	counted := false
	for {
		v, healed := g.judge(kind)
		if !counted && v != (verdict{}) {
			counted = true
			g.affected.Add(1)
		}
		switch {
		case v.hang:
			if errno := g.wait(ctx, healed, 0); errno != 0 {
				return errno, false
			}
		case v.delay > 0:
			return g.wait(ctx, healed, v.delay), false
		default:
			return v.errno, v.tear
		}
	}
}

// wait returns 0 when the fault is healed or after bound (0: none), EINTR when
// the caller is being killed: whoever dies while its disk hangs must not stay
// for ever. A signal alone is no reason: Go's runtime sends them all the time,
// and no disk answers EINTR to fsync.
func (g *gate) wait(ctx context.Context, healed <-chan struct{}, bound time.Duration) syscall.Errno {
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > maxWaiting {
		return syscall.EIO
	}
	var over <-chan time.Time
	if bound > 0 {
		t := time.NewTimer(bound)
		defer t.Stop()
		over = t.C
	}
	caller, _ := fuse.FromContext(ctx)
	look := time.NewTicker(fateInterval)
	defer look.Stop()
	for {
		select {
		case <-healed:
			return 0
		case <-over:
			return 0
		case <-look.C:
			if caller != nil && dying(caller.Pid) {
				return syscall.EINTR
			}
		}
	}
}

// dying tells whether a thread has gone or has a SIGKILL pending. 0 is a thread
// that this process cannot see.
func dying(tid uint32) bool {
	if tid == 0 {
		return false
	}
	text, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(tid), 10) + "/status")
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		if n := string(name); n != "SigPnd" && n != "ShdPnd" {
			continue
		}
		mask, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
		if err == nil && mask&(1<<(syscall.SIGKILL-1)) != 0 {
			return true
		}
	}
	return false
}
