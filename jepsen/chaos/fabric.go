package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fault/clock"
	"github.com/zerokeeper/zero/jepsen/fault/disk"
	"github.com/zerokeeper/zero/jepsen/fault/netns"
	"github.com/zerokeeper/zero/jepsen/fault/relay"
	"github.com/zerokeeper/zero/jepsen/fleet"
)

// Builds of zerokeeper beside the one that is released.
const (
	program        = "zerokeeper"
	programClock   = "zerokeeper-clock"   // with a wall clock that can be moved
	programControl = "zerokeeper-control" // that, and the tag "control"
)

// diskMiB is the size of a keeper's volume.
const diskMiB = 96

// newNet joins the places of the run: as the scenario wants it, or by relays
// where that is all that the machine allows.
func (r *Run) newNet() (fault.Net, error) {
	places := r.places()
	switch {
	case r.Tier == fault.TierC && r.Scenario.Data != nil:
		return nil, errNoPlaces(r.Tier)
	case r.Tier == fault.TierC:
		return relay.New(relay.Config{Nodes: places, Port: machinePort, Seed: r.Seed})
	case r.Scenario.Fabric == shaped && r.Tier == fault.TierA:
		return netns.NewSwitch(netns.Config{Nodes: places, Seed: r.Seed})
	}
	return netns.NewBridge(netns.Config{Nodes: places, Seed: r.Seed})
}

// quorumConfig is what the scenario's keepers are.
func (r *Run) quorumConfig(f *fleet.Fleet, net fault.Net) quorumConfig {
	s := r.Scenario
	cfg := quorumConfig{fleet: f, net: net, nodes: r.Nodes, spare: s.Spare, args: s.Args, program: filepath.Join(r.binDir(), program)}
	if s.Data != nil && s.Data.Env != nil {
		cfg.env = func(i int) []string { return s.Data.Env(r, fmt.Sprintf("k%d", i+1)) }
	}
	if s.Clock {
		cfg.program = filepath.Join(r.BinDir, programClock)
		cfg.clock = func(_ int, path string) (fault.Clock, error) { return clock.New(path) }
	}
	relays, _ := net.(*relay.Net)
	if s.Control != "" && s.Data == nil || relays != nil {
		cfg.program = filepath.Join(r.BinDir, programControl)
		cfg.env = func(i int) []string {
			env := []string{"ZERO_CONTROL=" + s.Control}
			if relays != nil {
				env = append(env, "ZERO_DIAL_MAP="+relays.DialMap(i))
			}
			return env
		}
	}
	switch s.Volume {
	case ext4:
		cfg.disk = func(ctx context.Context, i int, dir string) (fault.Disk, error) {
			return disk.NewExt4(ctx, disk.Config{Dir: dir, Image: fmt.Sprintf("%s.img", dir), SizeMiB: diskMiB})
		}
	case fuse:
		cfg.backing = true
		cfg.disk = func(ctx context.Context, i int, dir string) (fault.Disk, error) {
			backing := backingOf(dir)
			if err := os.MkdirAll(backing, 0o700); err != nil {
				return nil, err
			}
			return disk.NewFUSE(ctx, disk.FUSEConfig{Dir: dir, Backing: backing})
		}
	}
	return cfg
}
