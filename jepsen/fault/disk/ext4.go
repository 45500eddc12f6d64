package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
	"golang.org/x/sys/unix"
)

const (
	minSizeMiB     = 16
	maxSizeMiB     = 64 << 10
	defaultSizeMiB = 64
	defaultWait    = 10 * time.Second
	makeTimeout    = 30 * time.Second
)

var (
	// ErrBroken is what a volume answers that was cut, is gone or had to be made
	// read-only the hard way: only Restore and Close are left.
	ErrBroken = errors.New("the volume is broken until Restore")
	// ErrBusy: the volume cannot be unmounted. The message names who holds it.
	ErrBusy = errors.New("the volume is held")
	// ErrVoid: the fault changed nothing, so that a run that relies on it says nothing.
	ErrVoid = errors.New("the fault is void")
	// ErrClosed is what every method but Close answers after Close.
	ErrClosed = errors.New("the volume is closed")
)

// Config describes an Ext4.
type Config struct {
	Dir     string        // where it is mounted; made when missing, kept after Close
	Image   string        // the file that holds it, removed by Close; must not exist
	SizeMiB int           // of the image, which is sparse; 16 to 65536, default 64
	Wait    time.Duration // bound for an unmount while dying processes hold the volume; default 10 s
}

// Validate fills in the defaults and tells what is wrong.
func (c *Config) Validate() error {
	if c.SizeMiB == 0 {
		c.SizeMiB = defaultSizeMiB
	}
	if c.Wait == 0 {
		c.Wait = defaultWait
	}
	switch {
	case !filepath.IsAbs(c.Dir):
		return fmt.Errorf("disk: directory %q: want an absolute path", c.Dir)
	case !filepath.IsAbs(c.Image):
		return fmt.Errorf("disk: image %q: want an absolute path", c.Image)
	case c.SizeMiB < minSizeMiB || c.SizeMiB > maxSizeMiB:
		return fmt.Errorf("disk: size %d MiB: want %d to %d", c.SizeMiB, minSizeMiB, maxSizeMiB)
	case c.Wait < 0:
		return fmt.Errorf("disk: wait %v: want more than 0", c.Wait)
	}
	return nil
}

// Ext4 is a fault.Disk: an ext4 of its own on a loop device. Its methods may be
// called from any goroutine; each waits for the one before it.
type Ext4 struct {
	cfg Config

	mu       sync.Mutex
	loop     string   // /dev/loopN while mounted, anywhere
	dev      uint64   // the device number of loop
	broken   string   // why only Restore helps; empty: whole
	frozen   *guard   // thaws when this process dies; nil: not frozen
	readOnly bool     // remounted, can be undone in place
	fillers  []filler // what DiskFull and Fill took
	closed   bool
}

var _ fault.Disk = (*Ext4)(nil)

// NewExt4 makes the image, a file system in it and mounts it. It needs mkfs.ext4
// and fsfreeze, a loop device and root; without them the error is
// fault.ErrUnsupported.
func NewExt4(ctx context.Context, cfg Config) (*Ext4, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("ext4 on a loop device needs root: %w", fault.ErrUnsupported)
	}
	for _, need := range []string{"mkfs.ext4", "fsfreeze"} {
		if _, err := exec.LookPath(need); err != nil {
			return nil, fmt.Errorf("%w: %w", fault.ErrUnsupported, err)
		}
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make volume: %w", err)
	}
	var err error
	// The kernel names mounts and backing files by their resolved paths.
	if cfg.Dir, err = filepath.EvalSymlinks(cfg.Dir); err != nil {
		return nil, fmt.Errorf("make volume: %w", err)
	}
	if err = makeImage(ctx, cfg.Image, cfg.SizeMiB); err != nil {
		return nil, err
	}
	if cfg.Image, err = filepath.EvalSymlinks(cfg.Image); err != nil {
		return nil, fmt.Errorf("make volume: %w", err)
	}
	e := &Ext4{cfg: cfg}
	if err := e.mount(); err != nil {
		return nil, errors.Join(err, os.Remove(cfg.Image))
	}
	// An empty volume is an empty directory to the program that is tested.
	if err := os.Remove(filepath.Join(cfg.Dir, "lost+found")); err != nil {
		return nil, errors.Join(fmt.Errorf("make volume: %w", err), e.Close())
	}
	return e, nil
}

func makeImage(ctx context.Context, image string, sizeMiB int) error {
	img, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	if err := errors.Join(img.Truncate(int64(sizeMiB)<<20), img.Close()); err != nil {
		return errors.Join(fmt.Errorf("make image: %w", err), os.Remove(image))
	}
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	// Blocks of 4 KiB as on real disks, nothing left to do in the background.
	out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-m0", "-b4096", "-Elazy_itable_init=0,lazy_journal_init=0", image).CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("mkfs.ext4 %s: %w: %s", image, err, out), os.Remove(image))
	}
	return nil
}

// Dir is where the volume is mounted.
func (e *Ext4) Dir() string { return e.cfg.Dir }

// Affected is always 0: the kernel does not count what failed or waited. That a
// fault took is seen by Break and PowerCut; that somebody met it must be seen in
// the node's log or the clients' history.
func (e *Ext4) Affected() uint64 { return 0 }

// Supports tells whether Break knows the fault.
func (e *Ext4) Supports(f fault.DiskFault) bool {
	switch f {
	case fault.DiskFull, fault.DiskHung, fault.DiskGone, fault.ReadOnly:
		return true
	}
	return false
}

// Break begins a fault and looks whether the volume has it.
//
//   - DiskFull takes all free blocks. What a file has already can be overwritten,
//     and what is removed later is free again, as on any disk.
//   - DiskHung syncs the volume and freezes it. Writers wait in the kernel and
//     cannot be killed before Heal: a process with such a thread keeps its
//     sockets and is not reaped, as with a real hung disk.
//   - DiskGone: everything is EIO, Restore is needed.
//   - ReadOnly is a remount when no file is open for writing, and Heal undoes it.
//     Otherwise it is what ext4 does after an error (errors=remount-ro), and
//     Restore is needed; see NeedsRestore.
func (e *Ext4) Break(f fault.DiskFault) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.Supports(f) {
		return fmt.Errorf("%v on ext4: %w", f, fault.ErrUnsupported)
	}
	if err := e.usable(); err != nil {
		return fmt.Errorf("%v: %w", f, err)
	}
	if e.frozen != nil {
		if f == fault.DiskHung {
			return nil
		}
		if f != fault.DiskGone { // it would wait, too
			return fmt.Errorf("%v: the volume hangs already, heal it first: %w", f, fault.ErrUnsupported)
		}
	}
	switch f {
	case fault.DiskFull:
		return e.fill(0)
	case fault.DiskHung:
		return e.freeze()
	case fault.ReadOnly:
		return e.setReadOnly()
	default:
		return e.cut(shutdownNoLogFlush, "disk gone")
	}
}

// Heal ends all faults that can be ended in place, Fill's too. The volume may
// still need Restore.
func (e *Ext4) Heal() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	return e.heal()
}

// NeedsRestore tells whether the volume is broken so that Heal cannot help.
func (e *Ext4) NeedsRestore() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.broken != ""
}

// PowerCut loses what was written and not synced; from then on everything is
// EIO. With journal the metadata that waits for its commit is written first, so
// that a file may exist without its data.
func (e *Ext4) PowerCut(journal bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(); err != nil {
		return fmt.Errorf("power cut: %w", err)
	}
	if journal {
		return e.cut(shutdownLogFlush, "power cut")
	}
	return e.cut(shutdownNoLogFlush, "power cut")
}

func (e *Ext4) usable() error {
	if e.closed {
		return ErrClosed
	}
	if e.broken != "" {
		return fmt.Errorf("%s: %w", e.broken, ErrBroken)
	}
	d, err := openVolume(e.cfg.Dir, e.dev)
	if err != nil {
		return err
	}
	return d.Close()
}

func (e *Ext4) heal() error {
	err := e.thaw()
	err = errors.Join(err, e.dropFillers())
	if e.readOnly {
		rw := unix.Mount("", e.cfg.Dir, "", unix.MS_REMOUNT|mountFlags, mountOptions)
		if rw != nil {
			return errors.Join(err, fmt.Errorf("remount %s for writing: %w", e.cfg.Dir, rw))
		}
		e.readOnly = false
	}
	return err
}
