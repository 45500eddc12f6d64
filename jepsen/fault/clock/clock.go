package clock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

const (
	// variable names the file in the environment of a process.
	variable = "ZERO_CLOCK"
	fileSize = 8
	// maxOffset keeps the wall clock in the years for which a time.Time has room for the monotonic clock as well.
	maxOffset = 100 * 365 * 24 * time.Hour
)

// Clock is the wall clock of the processes that are started with its Env and that Build has built. Its methods may be
// called from any goroutine.
type Clock struct {
	path  string
	jumps atomic.Uint64

	mu   sync.Mutex
	page []byte // nil after Close
}

var _ fault.Clock = (*Clock)(nil)

// New makes the file at path, with an offset of zero. It must be on a file system that the processes see.
func New(path string) (*Clock, error) {
	c, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("make the clock %s: %w", path, err)
	}
	return c, nil
}

func open(path string) (*Clock, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	var page []byte
	if err = f.Truncate(fileSize); err == nil {
		page, err = unix.Mmap(int(f.Fd()), 0, fileSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return &Clock{path: path, page: page}, nil
}

// Env is what a process is started with: ZERO_CLOCK and the path of the file.
func (c *Clock) Env() []string { return []string{variable + "=" + c.path} }

// Set moves the wall clock by offset from the machine's, at once. Zero puts it right. It takes at most a hundred years either way.
func (c *Clock) Set(offset time.Duration) error {
	if offset > maxOffset || offset < -maxOffset {
		return fmt.Errorf("move the clock %s by %v: the most is %v either way", c.path, offset, maxOffset)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.page == nil {
		return fmt.Errorf("move the clock %s: %w", c.path, os.ErrClosed)
	}
	if old := atomic.SwapInt64((*int64)(unsafe.Pointer(&c.page[0])), int64(offset)); old != int64(offset) {
		c.jumps.Add(1)
	}
	return nil
}

// Jumps counts how often the clock was moved to another offset.
func (c *Clock) Jumps() uint64 { return c.jumps.Load() }

// Strobe moves the clock to a random offset of up to most, either way, at once and then after each interval, until ctx is
// done, and puts it right. The error is for a clock that could not be moved, not for the end of ctx.
func (c *Clock) Strobe(ctx context.Context, rng *rand.Rand, most, interval time.Duration) error {
	if most <= 0 || most > maxOffset || interval <= 0 {
		return fmt.Errorf("strobe the clock %s by up to %v after each %v: want both above 0, and at most %v", c.path, most, interval, maxOffset)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := c.Set(time.Duration(rng.Int64N(2*int64(most)+1)) - most); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return c.Set(0)
}

// Close removes the file. Processes that run keep their last offset; none can be started with Env any more.
func (c *Clock) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.page == nil {
		return nil
	}
	err := errors.Join(unix.Munmap(c.page), os.Remove(c.path))
	c.page = nil
	if err != nil {
		return fmt.Errorf("close the clock %s: %w", c.path, err)
	}
	return nil
}
