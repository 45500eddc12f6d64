package proc

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

const mountinfo = `22 27 0:21 / /proc rw,relatime - proc proc rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/a\040b /sys/fs/cgroup/memory rw,relatime master:1 shared:2 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/uni\134fied rw,relatime - cgroup2 cgroup2 rw
garbage
`

func TestParseMounts(t *testing.T) {
	h := parseMounts(mountinfo)
	want := map[string]mount{
		"cpu":    {root: "/", point: "/sys/fs/cgroup/cpu,cpuacct"},
		"memory": {root: "/docker/a b", point: "/sys/fs/cgroup/memory"},
	}
	if !maps.Equal(h.v1, want) {
		t.Errorf("v1 is %v, want %v", h.v1, want)
	}
	if h.v2 == nil || *h.v2 != (mount{root: "/", point: `/sys/fs/cgroup/uni\fied`}) {
		t.Errorf("v2 is %v", h.v2)
	}
}

func TestMountDir(t *testing.T) {
	tests := []struct {
		name        string
		mount       mount
		group, want string
	}{
		{name: "root", mount: mount{"/cg", "/"}, group: "/", want: "/cg"},
		{name: "below", mount: mount{"/cg", "/"}, group: "/a/b", want: "/cg/a/b"},
		{name: "below a part", mount: mount{"/cg", "/docker/x"}, group: "/docker/x/y", want: "/cg/y"},
		{name: "another part", mount: mount{"/cg", "/docker/x"}, group: "/docker/z"},
		{name: "outside of the namespace", mount: mount{"/cg", "/"}, group: "/../a", want: "/cg/a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.mount.dir(tt.group)
			if got != tt.want || (tt.want == "") != errors.Is(err, fault.ErrUnsupported) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestParseMembership(t *testing.T) {
	got := parseMembership("4:cpu,cpuacct:/a/b:c\n1:name=systemd:/\n0::/user.slice\nx\n")
	want := map[string]string{"cpu": "/a/b:c", "cpuacct": "/a/b:c", "name=systemd": "/", "": "/user.slice"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// v2Host is a directory that looks like a cgroup v2 mount: /user/session holds the process, and user hands down what it is
// told to. Writes to its files are kept, which a kernel would obey instead.
func v2Host(t *testing.T, userHandsDown string) (*host, string) {
	t.Helper()
	point := t.TempDir()
	for _, dir := range []string{"", "user", "user/session"} {
		mustWrite(t, filepath.Join(point, dir, "cgroup.procs"), "")
		mustWrite(t, filepath.Join(point, dir, "cgroup.subtree_control"), "")
	}
	mustWrite(t, filepath.Join(point, "user/cgroup.subtree_control"), userHandsDown)
	h := &host{v2: &mount{point: point, root: "/"}}
	h.home = func(int) (map[string]string, error) { return map[string]string{"": "/user/session"}, nil }
	h.mkdir = func(dir string) error {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		for _, file := range []string{"cgroup.procs", "cpu.max", "memory.max", "memory.swap.max", "io.max"} {
			mustWrite(t, filepath.Join(dir, file), "")
		}
		mustWrite(t, filepath.Join(dir, "cpu.stat"), "usage_usec 5\nnr_periods 4\nnr_throttled 3\n")
		mustWrite(t, filepath.Join(dir, "memory.events"), "low 0\noom 2\noom_kill 1\n")
		return nil
	}
	return h, point
}

// TestV2 sees which files get what; that a kernel obeys them is tested where it has them.
func TestV2(t *testing.T) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	h, point := v2Host(t, "cpu memory io\n")
	p := &Proc{pid: os.Getpid(), pidfd: fd, opts: Options{DataPath: t.TempDir()}, host: h, groups: make(map[string]*group)}
	if err := p.LimitCPU(0.05); err != nil {
		t.Fatal(err)
	}
	if err := p.LimitMemory(1 << 40); err != nil {
		t.Fatal(err)
	}
	if len(p.groups) != 1 {
		t.Fatalf("%d groups, want one for all controllers", len(p.groups))
	}
	g := p.groups[keyV2]
	if filepath.Dir(g.dir) != filepath.Join(point, "user") || g.home != filepath.Join(point, "user/session") {
		t.Errorf("the group is %s, of a process from %s: a group with processes hands nothing down", g.dir, g.home)
	}
	want := map[string]string{"cpu.max": "5000 100000", "memory.max": fmt.Sprint(1<<40 - p.elsewhere), "memory.swap.max": "0",
		"cgroup.procs": fmt.Sprint(os.Getpid())}
	if disk, err := diskOf(p.opts.DataPath); err == nil {
		if err := p.LimitWrites(65536); err != nil {
			t.Error(err)
		}
		want["io.max"] = disk + " wbps=65536"
	}
	for file, text := range want {
		if got := mustRead(t, filepath.Join(g.dir, file)); got != text {
			t.Errorf("%s is %q, want %q", file, got, text)
		}
	}
	if n, err := p.Throttled(); n != 3 || err != nil {
		t.Errorf("throttled %d times, %v", n, err)
	}
	if n, err := p.OOMKills(); n != 1 || err != nil {
		t.Errorf("%d OOM kills, %v", n, err)
	}
}

func TestV2HandsDown(t *testing.T) {
	tests := []struct {
		name, user, where string
		locked            bool
		unsupported       bool
	}{
		{name: "already", user: "cpu io", where: "user"},
		{name: "made to", user: "memory", where: "user"},
		{name: "nobody may", user: "memory", locked: true, unsupported: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, point := v2Host(t, tt.user)
			if tt.locked { // no such file is what a v2 root in a container shows, too
				for _, dir := range []string{"", "user"} {
					if err := os.Remove(filepath.Join(point, dir, "cgroup.subtree_control")); err != nil {
						t.Fatal(err)
					}
				}
			}
			g, _, err := h.group(nil, 1, "cpu", "cpu")
			if errors.Is(err, fault.ErrUnsupported) != tt.unsupported {
				t.Fatalf("got %v", err)
			}
			if err == nil && filepath.Dir(g.dir) != filepath.Join(point, tt.where) {
				t.Errorf("the group is %s", g.dir)
			}
		})
	}
}

func TestWholeDisk(t *testing.T) {
	sys := t.TempDir()
	mustWrite(t, filepath.Join(sys, "devices/vda/dev"), "254:0\n")
	mustWrite(t, filepath.Join(sys, "devices/vda/vda1/dev"), "254:1\n")
	mustWrite(t, filepath.Join(sys, "devices/vda/vda1/partition"), "1\n")
	mustWrite(t, filepath.Join(sys, "block/x"), "")
	for dev, target := range map[string]string{"254:0": "../devices/vda", "254:1": "../devices/vda/vda1"} {
		if err := os.Symlink(target, filepath.Join(sys, "block", dev)); err != nil {
			t.Fatal(err)
		}
		if got, err := wholeDisk(filepath.Join(sys, "block"), dev); got != "254:0" || err != nil {
			t.Errorf("the disk of %s is %q, %v", dev, got, err)
		}
	}
	if _, err := wholeDisk(filepath.Join(sys, "block"), "9:9"); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("a device that is not there: %v", err)
	}
	if _, err := diskOf("/proc"); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("the disk of /proc: %v", err)
	}
}
