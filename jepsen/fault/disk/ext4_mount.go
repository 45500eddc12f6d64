package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mountFlags = unix.MS_NOATIME | unix.MS_NODEV | unix.MS_NOSUID
	// commit: the journal's own timer (5 s) would sync what nobody asked to be
	// synced, and a power cut would lose less than it can.
	mountOptions = "errors=remount-ro,commit=300"
)

// detachGrace is how long Close waits for what it detached lazily.
const detachGrace = time.Second

// mount attaches a loop device and mounts it at Dir.
func (e *Ext4) mount() error {
	dev, err := attachLoop(e.cfg.Image)
	if err != nil {
		return err
	}
	defer dev.Close() // from here the mount holds it, or nobody
	var st unix.Stat_t
	if err := unix.Fstat(int(dev.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", dev.Name(), err)
	}
	if err := unix.Mount(dev.Name(), e.cfg.Dir, "ext4", mountFlags, mountOptions); err != nil {
		return fmt.Errorf("mount %s (%s) at %s: %w", dev.Name(), e.cfg.Image, e.cfg.Dir, err)
	}
	e.loop, e.dev = dev.Name(), st.Rdev
	return nil
}

// unmount waits for the volume to be let go and for its loop device to detach,
// which is when the last copy of the mount in any namespace has gone.
func (e *Ext4) unmount() error {
	if e.loop == "" {
		return nil
	}
	bound := time.Now().Add(e.cfg.Wait)
	err := waitFor(context.Background(), e.cfg.Wait, func() (bool, error) {
		err := unix.Unmount(e.cfg.Dir, unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EBUSY) {
			return false, nil
		}
		// EINVAL: an earlier try unmounted it, but the device was still held.
		return err == nil || errors.Is(err, unix.EINVAL), ignore(err, unix.EINVAL)
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("unmount %s: %w by %s; end them and try again", e.cfg.Dir, ErrBusy, holders(e.cfg.Dir, ""))
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", e.cfg.Dir, err)
	}
	e.broken = "unmounted"
	if err := e.waitDetached(max(time.Until(bound), poll)); err != nil {
		return err
	}
	e.loop, e.dev = "", 0
	return nil
}

func (e *Ext4) waitDetached(bound time.Duration) error {
	err := waitFor(context.Background(), bound, func() (bool, error) {
		there, err := attached(e.loop, e.cfg.Image)
		return !there, err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s is unmounted, but %s lives on: %w by %s; end them and try again", e.cfg.Dir, e.loop, ErrBusy, holders(e.cfg.Dir, fmt.Sprintf("%d:%d", unix.Major(e.dev), unix.Minor(e.dev))))
	}
	return err
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// Restore ends all faults, unmounts the volume and mounts it again, as after a
// reboot; ext4's journal repairs what a power cut left. While somebody holds the
// volume it waits, at most Config.Wait, and answers ErrBusy; it can be called
// again.
func (e *Ext4) Restore() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	// A read-only mount need not become writable to be unmounted.
	if err := errors.Join(e.thaw(), e.dropFillers()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := e.unmount(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := e.mount(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	e.broken, e.readOnly = "", false
	return nil
}

// Close ends all faults, unmounts the volume and removes its image. When
// somebody holds the volume longer than Config.Wait, it is detached all the same
// and the error names them: loop device and blocks are free when they end. A
// second Close does nothing.
func (e *Ext4) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	errs := []error{e.thaw(), e.dropFillers()}
	if err := e.unmount(); err != nil {
		errs = append(errs, err)
		if err := unix.Unmount(e.cfg.Dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("detach %s: %w", e.cfg.Dir, err))
		}
		errs = append(errs, e.waitDetached(detachGrace))
	}
	if err := os.Remove(e.cfg.Image); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close volume: %w", err)
	}
	return nil
}
