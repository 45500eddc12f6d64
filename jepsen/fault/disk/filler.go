package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// fillRounds bounds how often Fill corrects itself.
const fillRounds = 64

// filler is a file without a name: nobody sees it in the volume, and its blocks
// are free when it is closed, also by the death of this process.
type filler struct{ *os.File }

// Fill takes free space until leave bytes are free for files, to a block. Heal
// gives it back. Fill(0) is DiskFull.
func (e *Ext4) Fill(leave int64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	if e.frozen != nil || e.readOnly {
		return fmt.Errorf("fill: the volume hangs or is read-only, heal it first: %w", ErrBroken)
	}
	if leave < 0 {
		return fmt.Errorf("fill: leave %d bytes: want 0 or more", leave)
	}
	return e.fill(leave)
}

// Free is what is free for files, in bytes.
func (e *Ext4) Free() (int64, error) {
	free, _, err := free(e.cfg.Dir)
	return free, err
}

func free(dir string) (free, block int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, st.Bsize, nil
}

func (e *Ext4) fill(leave int64) error {
	// What is written and not allocated yet would be allocated later.
	d, err := openVolume(e.cfg.Dir, e.dev)
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("fill: sync: %w", err)
	}
	fd, err := unix.Openat(int(d.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	f := os.NewFile(uintptr(fd), "filler")
	defer f.Close()
	if err := fillFile(f, e.cfg.Dir, leave); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	// Open for reading only, it does not stand against a remount.
	hold, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	e.fillers = append(e.fillers, filler{hold})
	return nil
}

// fillFile grows f until at most leave bytes and a block are free in dir.
func fillFile(f *os.File, dir string, leave int64) error {
	var size int64
	step := int64(-1) // at most; -1: no bound yet
	for range fillRounds {
		left, block, err := free(dir)
		if err != nil {
			return err
		}
		more := (left - leave) / block * block
		if more <= 0 {
			break
		}
		if step > 0 {
			more = min(more, step)
		}
		err = unix.Fallocate(int(f.Fd()), 0, size, more)
		switch {
		case err == nil:
			size += more
		case !errors.Is(err, unix.ENOSPC):
			return fmt.Errorf("allocate %d bytes: %w", more, err)
		case more == block:
			return check(dir, leave)
		default: // the blocks that map the file need space, too
			step = max(more/2/block*block, block)
		}
	}
	// Mapping blocks may have taken more than they should.
	if left, block, err := free(dir); err != nil {
		return err
	} else if short := (leave - left) / block * block; short > 0 && short <= size {
		if err := f.Truncate(size - short); err != nil {
			return fmt.Errorf("give back %d bytes: %w", short, err)
		}
	}
	return check(dir, leave)
}

// check tells whether as little is free as was asked for.
func check(dir string, leave int64) error {
	left, block, err := free(dir)
	if err != nil {
		return err
	}
	if left > leave+block {
		return fmt.Errorf("%d bytes are free instead of %d: %w", left, leave, ErrVoid)
	}
	return nil
}

// dropFillers gives the space back.
func (e *Ext4) dropFillers() error {
	var errs []error
	for _, f := range e.fillers {
		errs = append(errs, f.Close())
	}
	e.fillers = nil
	return errors.Join(errs...)
}
