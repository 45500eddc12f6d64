package enter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// namesDir is where iproute2 keeps named network namespaces.
const namesDir = "/run/netns"

// settle makes the new namespaces fit to live in.
func settle() error {
	// Slaves, not private: nothing goes out, but what somebody unmounts outside is let go of here too, and does not stay
	// busy until this run ends.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep this run's mounts to itself: %w", err)
	}
	if err := hideNames(); err != nil {
		return err
	}
	return loopbackUp()
}

// hideNames covers the names of the machine's network namespaces, so that a name made inside leaves no file outside. Where
// there is no such directory nothing is made: it would be left behind.
func hideNames() error {
	if _, err := os.Stat(namesDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", namesDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=1m,mode=755"); err != nil {
		return fmt.Errorf("mount a tmpfs on %s: %w", namesDir, err)
	}
	return nil
}

// loopbackUp brings lo up, which gives it 127.0.0.1/8.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring lo up: socket: %w", err)
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, lo); err != nil {
		return fmt.Errorf("bring lo up: read its flags: %w", err)
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}
