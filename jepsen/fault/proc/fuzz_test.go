package proc

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzHost reads what a kernel might say: no group may ever lie outside of its mount.
func FuzzHost(f *testing.F) {
	f.Add(mountinfo, "4:cpu,cpuacct:/a/b:c\n3:memory:/docker/a b/c\n0::/user.slice\n")
	f.Add("1 2 3:4 / /m a - cgroup2 x y", "0::/../../etc\n")
	f.Add("1 2 3:4 /x/../.. /m a - cgroup x cpu", "4:cpu:x\n")
	f.Fuzz(func(t *testing.T, mounts, membership string) {
		h := parseMounts(mounts)
		homes := parseMembership(membership)
		if h.v2 != nil {
			h.v1[""] = *h.v2
		}
		for controller, m := range h.v1 {
			dir, err := m.dir(homes[controller])
			if err != nil {
				continue
			}
			point := filepath.Clean(m.point)
			if dir != point && !strings.HasPrefix(dir, strings.TrimSuffix(point, "/")+"/") {
				t.Errorf("the group %q of the mount %+v is %s", homes[controller], m, dir)
			}
		}
	})
}
