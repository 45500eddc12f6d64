package netns

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

const tunDevice = "/dev/net/tun"

// openTUN makes an interface of that name in a namespace; each read of the file is a packet that was sent over it, each
// write one that it receives. It goes when the file is closed.
func openTUN(space *os.File, link string) (*os.File, error) {
	fd := -1
	err := within(space, func() (err error) {
		// The interface belongs to the namespace in which the device is opened.
		fd, err = unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", tunDevice, lacking(err))
		}
		req, err := unix.NewIfreq(link)
		if err != nil {
			return fmt.Errorf("interface name %q: %w", link, err)
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			return fmt.Errorf("make TUN interface %s: %w", link, lacking(err))
		}
		return nil
	})
	if err != nil {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
		return nil, err
	}
	return os.NewFile(uintptr(fd), tunDevice), nil // only now: a TUN file without an interface cannot be polled
}

// lacking says fault.ErrUnsupported of what a machine or a user does not have, and nothing of other errors.
func lacking(err error) error {
	for _, e := range []error{unix.ENOENT, unix.ENODEV, unix.ENXIO, unix.EACCES, unix.EPERM} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w (a Switch needs a TUN device that this user may open; a Bridge does without): %w", err, fault.ErrUnsupported)
		}
	}
	return err
}
