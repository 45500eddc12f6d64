package enter

import (
	"reflect"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/jepsen/fault"
)

func TestProbeIsTheSameInside(t *testing.T) {
	need(t, fault.TierA, root)
	p := started(t, "probe", root)
	p.code(t)
	outside := Probe()
	if !reflect.DeepEqual(p.report.Probe, outside) {
		t.Errorf("inside: %s\noutside: %s", p.report.Probe, outside)
	}
	if outside.Tier != fault.TierA || !strings.HasPrefix(outside.String(), "tier A, ") {
		t.Errorf("tier A was reached, but the probe says %s", outside)
	}
	t.Log(outside)
}

func TestProbeOfAUser(t *testing.T) {
	need(t, fault.TierB, nobody)
	p := started(t, "probe", nobody)
	p.code(t)
	if c := p.report.Probe; c.Tier != fault.TierB || c.LoopDevices || c.Why == "" || !strings.HasPrefix(c.String(), "tier B (not A: ") {
		t.Errorf("a user has %s", c)
	} else {
		t.Log(c)
	}
}

func TestCapabilitiesString(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Capabilities
		want string
	}{
		{"all", Capabilities{Tier: fault.TierA, LoopDevices: true, FUSE: true, TUN: true, CgroupV1: []string{"cpu", "memory"}, CgroupV2: []string{"io"}},
			"tier A, loop devices, /dev/fuse, /dev/net/tun, cgroup v1: cpu memory, cgroup v2: io"},
		{"nothing", Capabilities{Tier: fault.TierC, Why: "not A: x; not B: y"},
			"tier C (not A: x; not B: y), no loop devices, no /dev/fuse, no /dev/net/tun, no cgroups"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.c.String(); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestHierarchies(t *testing.T) {
	const v1Groups, v2Groups = "3:cpu,cpuacct:/a\n2:memory:/\n1:name=systemd:/b\n0::/c\n", "0::/user.slice/x.scope\n"
	const mounts = `21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
31 25 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
32 25 0:28 / /sys/fs/cgroup/memory rw master:3 - cgroup cgroup rw,memory
33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
cut short
`
	for _, tt := range []struct {
		name, cgroup string
		want         []hierarchy
	}{
		{"version 1 and 2", v1Groups, []hierarchy{
			{1, "/sys/fs/cgroup/cpu,cpuacct", "/a", []string{"cpu", "cpuacct"}},
			{1, "/sys/fs/cgroup/memory", "/", []string{"memory"}},
			{2, "/sys/fs/cgroup/unified", "/c", nil},
		}},
		{"version 2 alone", v2Groups, []hierarchy{{2, "/sys/fs/cgroup/unified", "/user.slice/x.scope", nil}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := hierarchies(mounts, tt.cgroup); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestWanted(t *testing.T) {
	for _, tt := range []struct {
		name, tier, ci string
		want           fault.Tier
		bad            bool
	}{
		{name: "nothing"},
		{name: "a tier", tier: "B", ci: "true", want: fault.TierB},
		{name: "CI", ci: "true", want: fault.TierA},
		{name: "not CI", ci: "false"},
		{name: "no tier", tier: "a", bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("ZERO_CHAOS_TIER", tt.tier)
			t.Setenv("CI", tt.ci)
			if got, err := Wanted(); got != tt.want || (err != nil) != tt.bad {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
