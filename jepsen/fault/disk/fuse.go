package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/hashicorp/go-hclog"
	"github.com/zerokeeper/zero/jepsen/fault"
	"golang.org/x/sys/unix"
)

const (
	defaultSlow = 200 * time.Millisecond
	maxWrite    = 1 << 20 // bytes of one write request, the kernel's limit
)

// FUSEConfig describes a FUSE.
type FUSEConfig struct {
	Dir      string        // where it is mounted; made when missing, kept after Close
	Backing  string        // the directory that it shows, not inside Dir; made when missing, kept after Close
	SlowSync time.Duration // what SlowSync adds to each fsync; default 200 ms
	Wait     time.Duration // bound for an unmount while dying processes hold the volume; default 10 s
	Logger   hclog.Logger  // the driver's own trouble; may be nil
}

// Validate fills in the defaults and tells what is wrong.
func (c *FUSEConfig) Validate() error {
	if c.SlowSync == 0 {
		c.SlowSync = defaultSlow
	}
	if c.Wait == 0 {
		c.Wait = defaultWait
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	switch {
	case !filepath.IsAbs(c.Dir):
		return fmt.Errorf("disk: directory %q: want an absolute path", c.Dir)
	case !filepath.IsAbs(c.Backing):
		return fmt.Errorf("disk: backing %q: want an absolute path", c.Backing)
	case c.SlowSync < 0 || c.Wait < 0:
		return fmt.Errorf("disk: slow sync %v, wait %v: want more than 0", c.SlowSync, c.Wait)
	}
	return nil
}

// FUSE is a fault.Disk: a directory, passed through this process, whose
// operations can fail one by one. It has no power to cut.
//
// This process serves it. So this process must not map its files (bbolt does),
// nor start a program whose working directory or binary is in it: either stops
// the Go runtime while it waits for an answer that the same runtime must give,
// and nothing but "umount -f" from outside helps. Reading and writing from here
// is fine; what maps can use Backing.
type FUSE struct {
	cfg    FUSEConfig
	gate   *gate
	server *fuse.Server
	done   chan struct{} // closed when the server's last goroutine has ended

	mu     sync.Mutex
	closed bool
}

var _ fault.Disk = (*FUSE)(nil)

// NewFUSE mounts Backing at Dir. Without root or /dev/fuse the error is
// fault.ErrUnsupported.
func NewFUSE(ctx context.Context, cfg FUSEConfig) (*FUSE, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("mount FUSE: %w", err)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("FUSE without fusermount needs root: %w", fault.ErrUnsupported)
	}
	if err := unix.Access("/dev/fuse", unix.R_OK|unix.W_OK); err != nil {
		return nil, fmt.Errorf("access /dev/fuse: %w", denied(err))
	}
	for _, dir := range []string{cfg.Dir, cfg.Backing} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("mount FUSE: %w", err)
		}
	}
	var err error
	if cfg.Dir, err = filepath.EvalSymlinks(cfg.Dir); err != nil {
		return nil, fmt.Errorf("mount FUSE: %w", err)
	}
	f := &FUSE{cfg: cfg, gate: newGate(cfg.SlowSync), done: make(chan struct{})}
	root, err := newRoot(cfg.Backing, f.gate)
	if err != nil {
		return nil, fmt.Errorf("mount FUSE: %w", err)
	}
	if f.server, err = serve(cfg, root); err != nil {
		return nil, fmt.Errorf("mount FUSE at %s: %w", cfg.Dir, denied(err))
	}
	go func() {
		defer close(f.done)
		f.server.Wait()
	}()
	return f, nil
}

// serve mounts root. go-fuse opens /dev/fuse so that children inherit it: a
// node that holds its own volume's connection open would wait for ever, in the
// kernel and past SIGKILL, for the answer of a driver that has died. So nothing
// is forked before the descriptor is closed to children.
func serve(cfg FUSEConfig, root *node) (*fuse.Server, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	server, err := fs.Mount(cfg.Dir, root, &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true,
		FsName:            cfg.Backing,
		Name:              "zerofault",
		MaxWrite:          maxWrite,
		Logger:            cfg.Logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}})
	if err != nil {
		return nil, err
	}
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return nil, err
	}
	for _, link := range fds {
		if to, err := os.Readlink(link); err != nil || to != "/dev/fuse" {
			continue
		}
		fd, err := strconv.Atoi(filepath.Base(link))
		if err != nil {
			return nil, err
		}
		syscall.CloseOnExec(fd)
	}
	return server, nil
}

// Dir is where the volume is mounted.
func (f *FUSE) Dir() string { return f.cfg.Dir }

// Affected counts the operations that a fault failed, tore or delayed.
func (f *FUSE) Affected() uint64 { return f.gate.affected.Load() }

// Supports tells whether Break knows the fault.
func (f *FUSE) Supports(d fault.DiskFault) bool {
	switch d {
	case fault.DiskHung, fault.DiskGone, fault.ReadOnly, fault.WriteError, fault.SyncError, fault.WriteFull, fault.SlowSync, fault.HungSync, fault.TornWrite:
		return true
	}
	return false
}

// Break begins a fault; several can be on at once, the worst is met. Whether
// anybody met one is Affected.
//
//   - DiskHung, HungSync: who waits can be killed, other than on Ext4.
//   - DiskGone, ReadOnly: Heal ends them, other than on Ext4.
//   - WriteError, and TornWrite after its write: all that changes the volume is
//     EIO, fsync is not.
//   - WriteFull: what needs space is ENOSPC, overwriting in place too.
//   - SyncError: the fsync is not done.
//   - TornWrite: the next write stores its first half, to a sector of 512 bytes
//     of the file, and answers EIO.
func (f *FUSE) Break(d fault.DiskFault) error {
	if !f.Supports(d) {
		return fmt.Errorf("%v on FUSE: %w", d, fault.ErrUnsupported)
	}
	return f.gate.begin(d)
}

// Heal ends all faults. What waits goes on.
func (f *FUSE) Heal() error {
	f.gate.heal(false)
	return nil
}

// PowerCut is fault.ErrUnsupported.
func (f *FUSE) PowerCut(bool) error {
	return fmt.Errorf("power cut on FUSE: %w", fault.ErrUnsupported)
}

// Restore is fault.ErrUnsupported: there is nothing that Heal does not heal.
func (f *FUSE) Restore() error {
	return fmt.Errorf("restore on FUSE: %w", fault.ErrUnsupported)
}

// Close heals and unmounts. When somebody holds the volume longer than
// FUSEConfig.Wait, it is aborted and detached all the same, their operations
// fail, and the error names them. A second Close does nothing.
func (f *FUSE) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	f.gate.heal(true)
	err := waitFor(context.Background(), f.cfg.Wait, func() (bool, error) {
		err := unix.Unmount(f.cfg.Dir, unix.UMOUNT_NOFOLLOW)
		return err == nil, ignore(err, unix.EBUSY)
	})
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w by %s", ErrBusy, holders(f.cfg.Dir, ""))
		}
		err = fmt.Errorf("unmount %s: %w", f.cfg.Dir, err)
		// MNT_FORCE aborts the connection: nothing waits for this process any more.
		if lazy := unix.Unmount(f.cfg.Dir, unix.MNT_FORCE|unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); lazy != nil {
			err = errors.Join(err, fmt.Errorf("detach %s: %w", f.cfg.Dir, lazy))
		}
	}
	select {
	case <-f.done:
	case <-time.After(f.cfg.Wait):
		err = errors.Join(err, fmt.Errorf("the driver of %s still serves after %v: another mount namespace has a copy of the mount", f.cfg.Dir, f.cfg.Wait))
	}
	return err
}
