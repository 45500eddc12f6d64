package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// host is where the control groups of this machine are.
type host struct {
	v1    map[string]mount // by controller
	v2    *mount
	mkdir func(string) error // os.Mkdir but in tests
	home  func(pid int) (map[string]string, error)
}

// mount is a mounted hierarchy of groups.
type mount struct {
	point string // the directory
	root  string // the group that is seen there
}

// controllers are those of v1 that limits need.
var controllers = []string{"cpu", "memory", "blkio"}

func readHost() (*host, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find the control groups: %w", err)
	}
	h := parseMounts(string(text))
	h.mkdir = func(dir string) error { return os.Mkdir(dir, 0o755) }
	h.home = func(pid int) (map[string]string, error) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		return parseMembership(string(text)), err
	}
	return h, nil
}

// parseMounts reads the lines of mountinfo: id, parent, device, root, mount point, options, optional fields, "-", type,
// source, options of the file system (in which v1 names its controllers). See proc_pid_mountinfo(5).
func parseMounts(text string) *host {
	h := &host{v1: make(map[string]mount)}
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		place, fs := strings.Fields(before), strings.Fields(after)
		if !ok || len(place) < 5 || len(fs) < 3 {
			continue
		}
		m := mount{root: unescape.Replace(place[3]), point: unescape.Replace(place[4])}
		if !filepath.IsAbs(m.root) || !filepath.IsAbs(m.point) {
			continue
		}
		switch fs[0] {
		case "cgroup2":
			h.v2 = &m
		case "cgroup":
			for _, option := range strings.Split(fs[2], ",") {
				if slices.Contains(controllers, option) {
					h.v1[option] = m
				}
			}
		}
	}
	return h
}

// unescape undoes what the kernel does to paths in mountinfo.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// parseMembership reads /proc/PID/cgroup ("4:cpu,cpuacct:/a/b") into groups by controller; v2's has the empty name.
func parseMembership(text string) map[string]string {
	groups := make(map[string]string)
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for _, controller := range strings.Split(fields[1], ",") {
			groups[controller] = fields[2]
		}
	}
	return groups
}

// dir is the directory of a group.
func (m mount) dir(group string) (string, error) {
	rel, err := filepath.Rel(m.root, group)
	if err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%w: the control group %s is not below %s, which is what %s shows", fault.ErrUnsupported, group, m.root, m.point)
	}
	return filepath.Join(m.point, rel), nil
}

const keyV2 = "v2"

// key is under which name a process's groups are kept: one for each controller in v1, one for all in v2.
func (h *host) key(v1 string) string {
	if _, ok := h.v1[v1]; ok {
		return v1
	}
	return keyV2
}

// holds tells whether the controller has charged the process to one of groups already.
func (h *host) holds(groups map[string]*group, v1, v2 string) bool {
	g := groups[h.key(v1)]
	return g != nil && (!g.v2 || handsDown(filepath.Dir(g.dir), v2) == nil)
}

// group finds the group of a controller in groups or makes a new one, which the caller keeps in groups under key.
func (h *host) group(groups map[string]*group, pid int, v1, v2 string) (g *group, key string, err error) {
	key = h.key(v1)
	g = groups[key]
	switch {
	case g != nil && !g.v2:
		return g, key, nil
	case g != nil:
		return g, key, enable(filepath.Dir(g.dir), v2)
	}
	homes, err := h.home(pid)
	if err != nil {
		return nil, "", err
	}
	if m, ok := h.v1[v1]; ok {
		home, err := m.dir(homes[v1])
		if err != nil {
			return nil, "", err
		}
		g, err = h.newGroup(home, home)
		return g, key, err
	}
	if h.v2 == nil {
		return nil, "", fmt.Errorf("%w: no control groups are mounted", fault.ErrUnsupported)
	}
	home, err := h.v2.dir(homes[""])
	if err != nil {
		return nil, "", err
	}
	parent, err := parentV2(h.v2.point, home, v2)
	if err != nil {
		return nil, "", err
	}
	if g, err = h.newGroup(parent, home); err == nil {
		g.v2 = true
	}
	return g, key, err
}

// parentV2 finds the nearest group above home that hands the controller down, or the nearest that can be made to. A group
// with processes in it cannot, so home itself is out, unless it is the root.
func parentV2(root, home, controller string) (string, error) {
	var above []string
	for dir := home; dir != root; {
		dir = filepath.Dir(dir)
		above = append(above, dir)
	}
	if len(above) == 0 {
		above = []string{root}
	}
	for _, dir := range above {
		if handsDown(dir, controller) == nil {
			return dir, nil
		}
	}
	var errs []error
	for _, dir := range above {
		err := enable(dir, controller)
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("%w: no control group above %s hands %s down: %w", fault.ErrUnsupported, home, controller, errors.Join(errs...))
}

// handsDown is nil when the groups below dir have the controller.
func handsDown(dir, controller string) error {
	path := filepath.Join(dir, "cgroup.subtree_control")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(string(text)), controller) {
		return fmt.Errorf("%s lacks %s: %w", path, controller, fault.ErrUnsupported)
	}
	return nil
}

// enable lets dir hand the controller down. It stays so: somebody else may have come to rely on it.
func enable(dir, controller string) error {
	if handsDown(dir, controller) == nil {
		return nil
	}
	return writeFile(filepath.Join(dir, "cgroup.subtree_control"), "+"+controller)
}

const (
	prefix   = "zero-chaos-"
	maxNames = 1000 // tries for a free name: drivers in other PID namespaces may have our number
)

var lastGroup atomic.Uint64

func (h *host) newGroup(parent, home string) (*group, error) {
	for range maxNames {
		dir := filepath.Join(parent, fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), lastGroup.Add(1)))
		err := h.mkdir(dir)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("make a control group: %w", err)
		}
		return &group{dir: dir, home: home}, nil
	}
	return nil, fmt.Errorf("make a control group in %s: %d names are taken", parent, maxNames)
}
