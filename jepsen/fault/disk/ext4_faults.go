package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// probes makes the names of probe files unique.
var probes atomic.Uint64

// probe tries to make a file on the volume; a whole one lets it.
func (e *Ext4) probe() error {
	p := filepath.Join(e.cfg.Dir, fmt.Sprintf(".probe-%d-%d", os.Getpid(), probes.Add(1)))
	f, err := os.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(p))
}

// expect tells whether the volume fails as it should.
func (e *Ext4) expect(want unix.Errno, what string) error {
	if err := e.probe(); !errors.Is(err, want) {
		return fmt.Errorf("%s: making a file answers %v instead of %v: %w", what, err, want, ErrVoid)
	}
	return nil
}

// cut shuts the file system down. Writers that a freeze holds fail then.
func (e *Ext4) cut(flag uint32, why string) error {
	if err := ioctl(e.cfg.Dir, e.dev, ioctlShutdown, flag); err != nil {
		return fmt.Errorf("%s: %w", why, err)
	}
	e.broken = why
	if err := errors.Join(e.thaw(), e.dropFillers()); err != nil {
		return fmt.Errorf("%s: %w", why, err)
	}
	return e.expect(unix.EIO, why)
}

func (e *Ext4) freeze() error {
	g, err := startGuard(e.cfg.Dir)
	if err != nil {
		return fmt.Errorf("disk hung: %w", err)
	}
	if err := ioctl(e.cfg.Dir, e.dev, ioctlFreeze, 0); err != nil {
		return errors.Join(fmt.Errorf("disk hung: %w", err), g.stop())
	}
	e.frozen = g
	// A frozen volume cannot be frozen again: that is the proof.
	if err := ioctl(e.cfg.Dir, e.dev, ioctlFreeze, 0); !errors.Is(err, unix.EBUSY) {
		return errors.Join(fmt.Errorf("disk hung: a second freeze answers %v instead of %v: %w", err, unix.EBUSY, ErrVoid), e.thaw())
	}
	return nil
}

// thaw ends freeze; nothing when it is not frozen.
func (e *Ext4) thaw() error {
	if e.frozen == nil {
		return nil
	}
	err := ioctl(e.cfg.Dir, e.dev, ioctlThaw, 0)
	if errors.Is(err, unix.EINVAL) {
		err = fmt.Errorf("%s did not hang any more, somebody else thawed it: %w", e.cfg.Dir, ErrVoid)
	} else if err != nil {
		return err
	}
	g := e.frozen
	e.frozen = nil
	return errors.Join(err, g.stop())
}

func (e *Ext4) setReadOnly() error {
	if e.readOnly {
		return nil
	}
	err := unix.Mount("", e.cfg.Dir, "", unix.MS_REMOUNT|unix.MS_RDONLY|mountFlags, mountOptions)
	if err == nil {
		e.readOnly = true
		return e.expect(unix.EROFS, "read-only")
	}
	if !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("remount %s read-only: %w", e.cfg.Dir, err)
	}
	// Files are open for writing. Then only an error inside ext4 does it, which is
	// how it happens in the field.
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(e.loop), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("read-only fault"), 0); err != nil {
		return fmt.Errorf("read-only: %w", err)
	}
	e.broken = "read-only"
	return e.expect(unix.EROFS, "read-only")
}
