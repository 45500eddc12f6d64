package enter

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// Wanted is the tier that the environment asks for: ZERO_CHAOS_TIER (A, B or C), otherwise A where CI is true, where nothing
// may be skipped, otherwise any (0).
func Wanted() (fault.Tier, error) {
	if s := os.Getenv("ZERO_CHAOS_TIER"); s != "" {
		tier, err := fault.ParseTier(s)
		if err != nil {
			return 0, fmt.Errorf("ZERO_CHAOS_TIER: %w", err)
		}
		return tier, nil
	}
	if ci, err := strconv.ParseBool(os.Getenv("CI")); err == nil && ci {
		return fault.TierA, nil
	}
	return 0, nil
}

// attributes are how a process is started in a tier's namespaces: it dies with the thread that starts it.
func attributes(tier fault.Tier) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if tier == fault.TierB {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// possible is the highest tier of this process, and why not a higher one.
func possible() (fault.Tier, string) {
	root := mayBeRoot()
	if root == nil {
		if root = try(fault.TierA); root == nil {
			return fault.TierA, ""
		}
	}
	why := fmt.Sprintf("not A: %v", root)
	user := try(fault.TierB)
	if user == nil {
		return fault.TierB, why
	}
	return fault.TierC, fmt.Sprintf("%s; not B: %v", why, user)
}

// mayBeRoot tells whether the process has what tier A needs: the machine's own capabilities, not those of a user namespace,
// which mount no loop device and write no control group.
func mayBeRoot() error {
	uids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return err
	}
	if got := strings.Fields(string(uids)); len(got) != 3 || got[0] != "0" || got[1] != "0" || got[2] != "4294967295" {
		return errors.New("this is a user namespace")
	}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // of 32 capabilities each
	if err := unix.Capget(&head, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	for _, c := range []struct {
		bit  int
		name string
	}{{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}} {
		if data[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			return fmt.Errorf("%s is missing: run as root", c.name)
		}
	}
	return nil
}

// try runs a command that does nothing in a tier's namespaces. Kernels forbid them in several ways (a sysctl, seccomp,
// AppArmor, which hands out a user namespace in which nothing may be mounted), and only trying tells.
func try(tier fault.Tier) error {
	cmd := exec.Command("/bin/sh", "-c", ":")
	cmd.Dir = "/"
	cmd.SysProcAttr = attributes(tier)
	// Unsharing instead of cloning the mounts makes package syscall mount something: / again, as private.
	cmd.SysProcAttr.Cloneflags &^= syscall.CLONE_NEWNS
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	cmd.SysProcAttr.Pdeathsig = 0 // it ends by itself, and its thread may end before
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("new namespaces: %w", err)
	}
	return nil
}
