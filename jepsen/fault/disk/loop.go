package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
	"golang.org/x/sys/unix"
)

// loopTries bounds the races for a free loop device with others of the machine.
const loopTries = 32

// poll is how often a condition that has no event is looked at.
const poll = 10 * time.Millisecond

// attachLoop puts image behind a free loop device that detaches itself when its
// last user goes. The device is used as long as the file is open or mounted.
func attachLoop(image string) (*os.File, error) {
	img, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("attach loop device: %w", err)
	}
	defer img.Close() // the device keeps its own reference
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("attach loop device: %w", denied(err))
	}
	defer control.Close()
	for range loopTries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		dev, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("attach loop device: %w", err)
		}
		config := unix.LoopConfig{Fd: uint32(img.Fd())}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		copy(config.Info.File_name[:len(config.Info.File_name)-1], image)
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &config)
		if err == nil {
			return dev, nil
		}
		dev.Close()
		if !errors.Is(err, unix.EBUSY) { // EBUSY: somebody else was quicker
			return nil, fmt.Errorf("configure %s for %s: %w", dev.Name(), image, err)
		}
	}
	return nil, fmt.Errorf("attach loop device: lost %d races for a free one", loopTries)
}

// denied makes fault.ErrUnsupported of what this user may not do: user
// namespaces have no loop devices, and no FUSE unless /dev/fuse is open to all.
func denied(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", fault.ErrUnsupported, err)
	}
	return err
}

// attached tells whether dev (/dev/loopN) still has image behind it.
func attached(dev, image string) (bool, error) {
	text, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(dev), "loop/backing_file"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENXIO) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", dev, err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), " (deleted)") == image, nil
}

// waitFor looks at done until it is true or fails, at most for bound.
func waitFor(ctx context.Context, bound time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
