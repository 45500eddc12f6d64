package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrInUse: another process has the directory.
var ErrInUse = errors.New("another process has the directory open")

// lockFile is never removed: a lock on a file that is gone excludes nobody.
const lockFile = "lock"

// DirLock is a directory that belongs to this process.
type DirLock struct{ file *os.File }

// Lock makes the directory, readable by its owner only, and takes it. It does
// not wait: what another process has, or another Lock of this one, is ErrInUse.
// The kernel gives the lock back when the process ends.
func Lock(dir string) (*DirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("%w: stop that process, or use another directory", ErrInUse)
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return &DirLock{f}, nil
}

// Close gives the directory back.
func (l *DirLock) Close() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("unlock %s: %w", filepath.Dir(l.file.Name()), err)
	}
	return nil
}
