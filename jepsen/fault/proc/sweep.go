package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Sweep removes the groups of drivers that died before they could, and tells how many. A group with a process in it stays,
// and so does that of a driver whose number somebody has. A driver in another PID namespace looks dead from here: only its
// empty groups could be lost, and it would be told so.
func Sweep() (int, error) {
	h, err := readHost()
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	points := make(map[string]bool)
	for _, m := range h.v1 {
		points[m.point] = true
	}
	if h.v2 != nil {
		points[h.v2.point] = true
	}
	removed := 0
	var errs []error
	for point := range points {
		n, err := sweep(point)
		removed += n
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("sweep: %w", err)
	}
	return removed, nil
}

func sweep(point string) (removed int, err error) {
	err = filepath.WalkDir(point, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			return nil // groups come and go; and what cannot be read cannot be ours
		}
		if err != nil || !d.IsDir() || !abandoned(d.Name()) {
			return err
		}
		switch err := unix.Rmdir(path); { // refused while a process is in it
		case err == nil:
			removed++
		case !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.ENOENT):
			return fmt.Errorf("remove the control group %s: %w", path, err)
		}
		return fs.SkipDir
	})
	return removed, err
}

// abandoned tells whether a group has the name of one that a driver made which is dead.
func abandoned(name string) bool {
	rest, ours := strings.CutPrefix(name, prefix)
	driver, n, two := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(driver)
	if _, err2 := strconv.ParseUint(n, 10, 64); !ours || !two || err != nil || err2 != nil || pid <= 0 {
		return false
	}
	return errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}
