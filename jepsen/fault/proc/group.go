package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// removal bounds the removal of a group: a killed process stays in it until it has died.
const removal = 5 * time.Second

// group is a control group that this program has made.
type group struct {
	dir  string
	home string // the directory of the group that its process came from
	v2   bool
}

func (g *group) write(file, value string) error { return writeFile(filepath.Join(g.dir, file), value) }

func (g *group) has(file string) bool {
	_, err := os.Stat(filepath.Join(g.dir, file))
	return err == nil
}

// add moves a process with all its threads into the group.
func (g *group) add(pid int) error { return g.write("cgroup.procs", strconv.Itoa(pid)) }

func (g *group) throttled() (uint64, error) {
	if !g.v2 && !g.has("cpu.cfs_quota_us") { // the groups of other controllers have no such count
		return 0, nil
	}
	return g.count("cpu.stat", "nr_throttled")
}

func (g *group) oomKills() (uint64, error) {
	if g.v2 {
		return g.count("memory.events", "oom_kill")
	}
	return g.count("memory.oom_control", "oom_kill")
}

// count reads a counter in a file of lines "name value". A controller that the group does not have has counted nothing.
func (g *group) count(file, name string) (uint64, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == name {
			return strconv.ParseUint(fields[1], 10, 64)
		}
	}
	if g.v2 {
		return 0, nil // v2 has some files without their controller, and less in them
	}
	return 0, fmt.Errorf("%s has no %s", filepath.Join(g.dir, file), name)
}

// remove moves what is in the group back and removes it. A group that is gone is removed.
func (g *group) remove() error {
	deadline := time.Now().Add(removal)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := errors.Join(g.empty(), unix.Rmdir(g.dir))
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove the control group %s: %w", g.dir, err)
		}
		<-tick.C
	}
}

// empty moves the processes of the group to where the first of them came from.
func (g *group) empty() error {
	pids, err := members(g.dir)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		err := writeFile(filepath.Join(g.home, "cgroup.procs"), pid)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// members are the numbers of the processes in a group.
func members(dir string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(text)), nil
}

// writeFile writes to a file of the kernel's, which is there or not: it is never made.
func writeFile(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %q: %w", value, err)
	}
	return nil
}
