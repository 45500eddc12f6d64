package proc

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

const (
	cpuPeriod    = 100_000   // µs: the kernel's default
	maxCPUPeriod = 1_000_000 // µs: the kernel's bound
	minCPUQuota  = 1_000     // µs: the kernel's bound
)

// LimitCPU leaves the process a share of one core: above 0 (the kernel's least is 0.001) to 1.
func (p *Proc) LimitCPU(share float64) error {
	return p.do("limit the processor time of", func() error {
		quota, period, err := cpuQuota(share)
		if err != nil {
			return err
		}
		return p.limit("cpu", "cpu", func(g *group) error {
			if g.v2 {
				return g.write("cpu.max", fmt.Sprintf("%d %d", quota, period))
			}
			// Each write must be valid together with what the other file says at the time.
			err := g.write("cpu.cfs_quota_us", "-1")
			if err == nil {
				err = g.write("cpu.cfs_period_us", strconv.FormatInt(period, 10))
			}
			if err == nil {
				err = g.write("cpu.cfs_quota_us", strconv.FormatInt(quota, 10))
			}
			return err
		})
	})
}

// cpuQuota is the time in µs that a share has in each period.
func cpuQuota(share float64) (quota, period int64, err error) {
	if !(share > 0 && share <= 1) {
		return 0, 0, fmt.Errorf("a share of %v of a core: want above 0 to 1", share)
	}
	period = cpuPeriod
	if share*cpuPeriod < minCPUQuota {
		period = int64(math.Ceil(minCPUQuota / share))
	}
	if period > maxCPUPeriod {
		return 0, 0, fmt.Errorf("a share of %v of a core: %w: the least is %v", share, fault.ErrUnsupported, float64(minCPUQuota)/maxCPUPeriod)
	}
	return max(int64(math.Round(share*float64(period))), minCPUQuota), period, nil
}

// LimitMemory lets the kernel kill the process when it has more than bytes. What it has already counts, but a control group
// is charged only with what is allocated in it: the group's limit is what is left.
func (p *Proc) LimitMemory(bytes int64) error {
	return p.do("limit the memory of", func() error {
		if bytes <= 0 {
			return fmt.Errorf("%d bytes: want more than 0", bytes)
		}
		if !p.host.holds(p.groups, "memory", "memory") {
			has, err := anonymous(p.pid)
			if err != nil {
				return err
			}
			p.elsewhere = has
		}
		left := max(bytes-p.elsewhere, int64(os.Getpagesize()))
		return p.limit("memory", "memory", func(g *group) error { return setMemory(g, left) })
	})
}

// setMemory limits memory, and takes swap away where the kernel counts it: else a process would slow down, and not die.
func setMemory(g *group, bytes int64) error {
	text := strconv.FormatInt(bytes, 10)
	if g.v2 {
		err := g.write("memory.max", text)
		if err == nil && g.has("memory.swap.max") {
			err = g.write("memory.swap.max", "0")
		}
		return err
	}
	swap := g.has("memory.memsw.limit_in_bytes") // memory and swap together, and never below memory alone
	if swap {
		if err := g.write("memory.memsw.limit_in_bytes", "-1"); err != nil {
			return err
		}
	}
	err := g.write("memory.limit_in_bytes", text)
	if err == nil && swap {
		err = g.write("memory.memsw.limit_in_bytes", text)
	}
	return err
}

// anonymous is the memory in bytes that a process has and that no file backs.
func anonymous(pid int) (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: RssAnon: %w", path, err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("%s does not tell RssAnon", path)
}

// LimitFiles bounds the number of the process's file descriptors: its soft limit, which a process that does not ask for
// another one cannot pass. Those that are open stay open.
func (p *Proc) LimitFiles(n uint64) error {
	return p.do("limit the open files of", func() error {
		var old unix.Rlimit
		if err := unix.Prlimit(p.pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
			return unsupported(fmt.Errorf("read the limit of open files: %w", err))
		}
		if n > old.Max {
			return fmt.Errorf("%d open files: the process's hard limit is %d", n, old.Max)
		}
		if err := unix.Prlimit(p.pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: old.Max}, nil); err != nil {
			return unsupported(fmt.Errorf("set the limit of open files: %w", err))
		}
		if p.files == nil {
			p.files = &old
		}
		return nil
	})
}

// LimitWrites bounds what the process writes, in bytes a second, to the disk of Options.DataPath. With control groups v1
// that is what it writes and syncs itself: what the kernel writes back later is nobody's.
func (p *Proc) LimitWrites(bytesPerSecond int64) error {
	return p.do("limit the writes of", func() error {
		if bytesPerSecond <= 0 {
			return fmt.Errorf("%d bytes a second: want more than 0", bytesPerSecond)
		}
		if p.opts.DataPath == "" {
			return fmt.Errorf("%w: Options.DataPath does not say which disk", fault.ErrUnsupported)
		}
		disk, err := diskOf(p.opts.DataPath)
		if err != nil {
			return err
		}
		return p.limit("blkio", "io", func(g *group) error {
			if g.v2 {
				return g.write("io.max", fmt.Sprintf("%s wbps=%d", disk, bytesPerSecond))
			}
			return g.write("blkio.throttle.write_bps_device", fmt.Sprintf("%s %d", disk, bytesPerSecond))
		})
	})
}

// limit makes the group of a controller if there is none yet, sets it, and moves the process into it.
func (p *Proc) limit(v1, v2 string, set func(*group) error) error {
	g, key, err := p.host.group(p.groups, p.pid, v1, v2)
	if err != nil {
		return unsupported(err)
	}
	if err = set(g); err == nil {
		err = g.add(p.pid)
	}
	if _, known := p.groups[key]; err != nil && !known {
		return errors.Join(unsupported(err), g.remove())
	}
	p.groups[key] = g
	return unsupported(err)
}

// Throttled is in how many periods the process wanted more processor time than LimitCPU left it.
func (p *Proc) Throttled() (uint64, error) {
	return p.counter(&p.throttled, (*group).throttled)
}

// OOMKills is how many processes the kernel has killed because of LimitMemory.
func (p *Proc) OOMKills() (uint64, error) {
	return p.counter(&p.oomKills, (*group).oomKills)
}

func (p *Proc) counter(before *uint64, read func(*group) (uint64, error)) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := *before
	for _, g := range p.groups {
		n, err := read(g)
		if err != nil {
			return 0, fmt.Errorf("count what the limits of process %d did: %w", p.pid, err)
		}
		sum += n
	}
	return sum, nil
}

// count keeps what the counters of a group say before it is removed.
func (p *Proc) count(g *group) error {
	throttled, err1 := g.throttled()
	kills, err2 := g.oomKills()
	p.throttled += throttled
	p.oomKills += kills
	return errors.Join(err1, err2)
}

// unsupported marks the errors of a machine that does not let this program limit anything.
func unsupported(err error) error {
	if err == nil || errors.Is(err, fault.ErrUnsupported) {
		return err
	}
	for _, refusal := range []error{unix.EACCES, unix.EPERM, unix.EROFS, unix.ENOENT, unix.ENODEV, unix.EOPNOTSUPP} {
		if errors.Is(err, refusal) {
			return fmt.Errorf("%w: %w", fault.ErrUnsupported, err)
		}
	}
	return err
}
