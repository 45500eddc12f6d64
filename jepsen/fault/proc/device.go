package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// diskOf is the "major:minor" of the disk that a path lies on. Limits are those of whole disks: the kernel refuses
// partitions.
func diskOf(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", fmt.Errorf("find the disk of %s: %w", path, err)
	}
	if unix.Major(st.Dev) == 0 { // tmpfs, overlayfs, btrfs: a number that stands for no device
		return "", fmt.Errorf("%w: %s lies on no block device of its own", fault.ErrUnsupported, path)
	}
	return wholeDisk("/sys/dev/block", fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
}

// wholeDisk is the disk of a partition, or dev itself. The partition's directory lies in that of its disk.
func wholeDisk(sys, dev string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Join(sys, dev))
	if err != nil {
		return "", fmt.Errorf("%w: block device %s is not in sysfs: %w", fault.ErrUnsupported, dev, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); errors.Is(err, os.ErrNotExist) {
		return dev, nil
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "dev"))
	if err != nil {
		return "", fmt.Errorf("find the disk of the partition %s: %w", dev, err)
	}
	return strings.TrimSpace(string(text)), nil
}
