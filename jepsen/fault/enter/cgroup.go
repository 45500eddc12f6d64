package enter

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroups lists the controllers in whose hierarchies this process can make a group, below the root or below its own group.
func cgroups() (v1, v2 []string) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, nil
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, nil
	}
	for _, h := range hierarchies(string(mounts), string(own)) {
		for _, dir := range []string{h.dir, filepath.Join(h.dir, h.own)} {
			if !makesGroup(dir) {
				continue
			}
			if h.version == 1 {
				v1 = append(v1, h.controllers...)
				break
			}
			list, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
			if err == nil && unix.Access(filepath.Join(dir, "cgroup.subtree_control"), unix.W_OK) == nil {
				v2 = append(v2, strings.Fields(string(list))...)
				break
			}
		}
	}
	slices.Sort(v1)
	slices.Sort(v2)
	return slices.Compact(v1), slices.Compact(v2)
}

// hierarchy is a mounted control group file system.
type hierarchy struct {
	version     int
	dir         string   // where it is mounted
	own         string   // this process's group in it
	controllers []string // of version 1
}

// hierarchies reads /proc/self/mountinfo ("… … … … MOUNTPOINT … - TYPE SOURCE OPTIONS", where in version 1 the controllers are
// among the options) and /proc/self/cgroup ("NUMBER:CONTROLLERS:PATH", in version 2 without controllers).
func hierarchies(mountinfo, cgroup string) []hierarchy {
	groups := make(map[string]string) // by controller; "" is version 2
	for line := range strings.Lines(cgroup) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 {
			for c := range strings.SplitSeq(parts[1], ",") {
				groups[c] = parts[2]
			}
		}
	}
	var all []hierarchy
	for line := range strings.Lines(mountinfo) {
		left, right, _ := strings.Cut(line, " - ")
		where, what := strings.Fields(left), strings.Fields(right)
		if len(where) < 5 || len(what) < 3 {
			continue
		}
		switch what[0] {
		case "cgroup":
			h := hierarchy{version: 1, dir: where[4]}
			for o := range strings.SplitSeq(what[2], ",") {
				if group, ok := groups[o]; ok && !strings.Contains(o, "=") { // name=systemd controls nothing
					h.own, h.controllers = group, append(h.controllers, o)
				}
			}
			if len(h.controllers) > 0 {
				all = append(all, h)
			}
		case "cgroup2":
			all = append(all, hierarchy{version: 2, dir: where[4], own: groups[""]})
		}
	}
	return all
}

func makesGroup(dir string) bool {
	group, err := os.MkdirTemp(dir, "zero-probe-")
	if err != nil {
		return false
	}
	return os.Remove(group) == nil
}
