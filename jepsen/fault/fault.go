package fault

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ErrUnsupported is the base of what a breaker answers when this machine, this
// tier or this kind of breaker cannot do what was asked.
var ErrUnsupported = errors.New("this fault cannot be injected here")

// Tier is how much of a machine a run may break.
type Tier int

// The tiers, from the weakest.
const (
	TierC Tier = iota + 1 // nothing but loopback: relays between the nodes
	TierB                 // user namespaces: packets, but no loop devices, TUN or control groups
	TierA                 // root: everything
)

// String is "A", "B" or "C".
func (t Tier) String() string {
	switch t {
	case TierA:
		return "A"
	case TierB:
		return "B"
	case TierC:
		return "C"
	}
	return fmt.Sprintf("Tier(%d)", int(t))
}

// ParseTier reads what String wrote.
func ParseTier(s string) (Tier, error) {
	for t := TierC; t <= TierA; t++ {
		if t.String() == s {
			return t, nil
		}
	}
	return 0, fmt.Errorf("tier %q: want A (root), B (user namespaces) or C (relays on loopback)", s)
}

// Driver is the number of the place that the run's clients live in; nodes are
// numbered from 0.
const Driver = -1

// Pair is one direction between two places.
type Pair struct{ From, To int }

// Rule is what becomes of the packets (in tier C: of the bytes) that go one way.
// The shares are 0 to 1, drawn from the seed.
type Rule struct {
	Cut       bool          // nothing passes
	Delay     time.Duration // each is late by this
	Jitter    time.Duration // and by up to this, more or less
	Loss      float64       // share that is dropped
	Duplicate float64       // share that arrives twice
	Corrupt   float64       // share that arrives with a byte changed
	Reorder   float64       // share that overtakes what was delayed before it
}

// Net joins nodes and breaks what is between them.
type Net interface {
	// Addr is where a node, or Driver, is reached.
	Addr(node int) netip.Addr
	// Namespace is the path of the network namespace that a node's processes are
	// started in; empty: the driver's.
	Namespace(node int) string
	// Set replaces all rules, at once where the kernel can. Pairs that are not
	// named are whole; nil heals everything. What was delayed may still arrive.
	Set(rules map[Pair]Rule) error
	// Affected counts what rules dropped, delayed, doubled or changed so far.
	Affected() (uint64, error)
	Close() error
}

// Proc breaks one running process. Release lifts all limits; a process that has
// ended makes every method fail.
type Proc interface {
	Kill() error
	Pause() error
	Resume() error
	// LimitCPU leaves the process a share of one core, above 0 to 1.
	LimitCPU(share float64) error
	// LimitMemory lets the kernel kill the process when it has more, in bytes.
	LimitMemory(bytes int64) error
	// LimitFiles bounds the number of its file descriptors. Those that are open
	// stay open.
	LimitFiles(n uint64) error
	// LimitWrites bounds what it writes to the disk, in bytes a second.
	LimitWrites(bytesPerSecond int64) error
	Release() error
}

// DiskFault is a way in which a disk fails while it is used.
type DiskFault int

// The ways.
const (
	DiskFull   DiskFault = iota + 1 // no space is left
	DiskHung                        // writes wait until it is healed
	DiskGone                        // everything is an I/O error
	ReadOnly                        // remounted read-only, as after an error
	WriteError                      // writes are I/O errors
	SyncError                       // fsync is an I/O error, writes are not
	WriteFull                       // writes say that no space is left
	SlowSync                        // each fsync takes 200 ms
	HungSync                        // fsync waits until it is healed
	TornWrite                       // the next write stores a part (whole sectors), then all are I/O errors
	diskFaults
)

var diskFaultNames = [diskFaults]string{DiskFull: "disk full", DiskHung: "disk hung", DiskGone: "disk gone", ReadOnly: "read-only", WriteError: "write error",
	SyncError: "sync error", WriteFull: "write refused for space", SlowSync: "slow sync", HungSync: "hung sync", TornWrite: "torn write"}

// String names the fault in reports.
func (f DiskFault) String() string {
	if f > 0 && f < diskFaults {
		return diskFaultNames[f]
	}
	return fmt.Sprintf("DiskFault(%d)", int(f))
}

// Disk is a volume of its own for one node's data.
type Disk interface {
	// Dir is where it is mounted.
	Dir() string
	// Break begins a fault, or answers ErrUnsupported.
	Break(f DiskFault) error
	// Heal ends all faults that Break began and that can be healed in place; after
	// DiskGone the volume needs Restore.
	Heal() error
	// PowerCut loses what was written and not synced, and fails everything from
	// then on; with journal, what the file system's journal holds is flushed
	// first. The processes on the volume must be killed before Restore.
	PowerCut(journal bool) error
	// Restore mounts the volume again, as after a reboot.
	Restore() error
	// Affected counts the operations that failed or waited because of a fault,
	// where this kind of volume can tell.
	Affected() uint64
	Close() error
}

// Clock is the wall clock of one process that was built for it. The monotonic
// clock is never touched.
type Clock interface {
	// Env is what the process is started with.
	Env() []string
	// Set moves the wall clock by offset from the machine's.
	Set(offset time.Duration) error
	Close() error
}
