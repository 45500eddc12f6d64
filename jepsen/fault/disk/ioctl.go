package disk

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ioctls of a mounted file system that x/sys does not name. The numbers are
// those of all architectures but alpha, mips, powerpc and sparc.
const (
	ioctlFreeze   = 0xc0045877 // FIFREEZE, linux/fs.h
	ioctlThaw     = 0xc0045878 // FITHAW, linux/fs.h
	ioctlShutdown = 0x8004587d // EXT4_IOC_SHUTDOWN, fs/ext4/ext4.h

	shutdownLogFlush   = uint32(1) // EXT4_GOING_FLAGS_LOGFLUSH
	shutdownNoLogFlush = uint32(2) // EXT4_GOING_FLAGS_NOLOGFLUSH
)

// errElsewhere: the directory is not on the volume. What is meant for a volume
// must never reach the file system below its mount point.
var errElsewhere = errors.New("the volume is not mounted there")

// openVolume opens the directory of a volume, which has the device number dev.
func openVolume(dir string, dev uint64) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &st); err != nil {
		return nil, errors.Join(fmt.Errorf("stat %s: %w", dir, err), d.Close())
	}
	if st.Dev != dev {
		return nil, errors.Join(fmt.Errorf("%s is on device %d:%d: %w", dir, unix.Major(st.Dev), unix.Minor(st.Dev), errElsewhere), d.Close())
	}
	return d, nil
}

// ioctl asks something of the volume at dir with the device number dev.
//   - ioctlFreeze syncs it and makes all that writes to it wait; EBUSY when it is
//     frozen.
//   - ioctlThaw undoes that; EINVAL when it is not frozen.
//   - ioctlShutdown, with a flag, ends it as if its power was cut.
func ioctl(dir string, dev uint64, request uintptr, flag uint32) error {
	d, err := openVolume(dir, dev)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), request, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		return fmt.Errorf("ioctl %#x of %s: %w", request, dir, errno)
	}
	return nil
}
