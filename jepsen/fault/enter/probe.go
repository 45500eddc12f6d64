package enter

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// Capabilities is what can be broken on this machine by this user.
type Capabilities struct {
	Tier        fault.Tier // the highest that Enter can reach from here
	Why         string     // why not a higher one; empty in tier A
	LoopDevices bool       // volumes of their own: power cuts, full, hung and broken disks
	FUSE        bool       // /dev/fuse: faults of single system calls
	TUN         bool       // /dev/net/tun: delay, duplication, corruption of packets
	CgroupV1    []string   // controllers of version 1 in which groups can be made, sorted
	CgroupV2    []string   // those of version 2
}

// Probe tries out what is possible. What it makes for that it removes at once.
func Probe() Capabilities {
	var c Capabilities
	c.Tier, c.Why = possible()
	c.LoopDevices = c.Tier == fault.TierA && opens("/dev/loop-control")
	c.FUSE = c.Tier >= fault.TierB && opens("/dev/fuse")
	c.TUN = c.Tier >= fault.TierB && opens("/dev/net/tun")
	c.CgroupV1, c.CgroupV2 = cgroups()
	return c
}

// String is one line for the head of a report.
func (c Capabilities) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "tier %s", c.Tier)
	if c.Why != "" {
		fmt.Fprintf(&b, " (%s)", c.Why)
	}
	for _, d := range []struct {
		name string
		has  bool
	}{{"loop devices", c.LoopDevices}, {"/dev/fuse", c.FUSE}, {"/dev/net/tun", c.TUN}} {
		if d.has {
			fmt.Fprintf(&b, ", %s", d.name)
		} else {
			fmt.Fprintf(&b, ", no %s", d.name)
		}
	}
	for _, g := range []struct {
		version     int
		controllers []string
	}{{1, c.CgroupV1}, {2, c.CgroupV2}} {
		if len(g.controllers) > 0 {
			fmt.Fprintf(&b, ", cgroup v%d: %s", g.version, strings.Join(g.controllers, " "))
		}
	}
	if len(c.CgroupV1)+len(c.CgroupV2) == 0 {
		b.WriteString(", no cgroups")
	}
	return b.String()
}

func opens(device string) bool {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}
