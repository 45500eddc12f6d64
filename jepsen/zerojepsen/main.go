// Command zerojepsen breaks a quorum of real zerokeepers in every way that this
// machine allows, and says whether it kept what it promises.
//
//	zerojepsen [-bin DIR] [-only G1,G2] [-seed N] [-count N] [-nodes N]
//	           [-duration D] [-soak D] [-keep DIR] [-report FILE] [-list] [-build] [-full] [-sound]
//	           [-kills N | -calm D | -dbkill N | -dbcut N | -dbcutleader N]
//	           [-profile default|fast]
//	zerojepsen -switches N | -elections N [-bin DIR] [-with DIR] [-report FILE]
//
// Without -only it runs every scenario once, and every control: a quorum that is
// broken on purpose, which the checkers must notice. The same seed makes the same
// schedule of faults. ZERO_CHAOS_TIER=A, B or C is the least that the machine
// must allow; a run on less fails.
//
// It exits 0 only if every run was green.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/zerokeeper/zero/jepsen/chaos"
	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fault/enter"
	"github.com/zerokeeper/zero/jepsen/fault/proc"
)

type flags struct {
	bin, only, keep, report string
	seed                    uint64
	count, nodes            int
	duration, soak          time.Duration
	list, build             bool
	sound, full             bool
	kills                   int
	calm                    time.Duration
	profile                 string
	switches, elections     int
	with                    string
	losses                  [3]int // how often the primary is lost, by lossFlags
}

// lossFlags are the measurements of losses of the primary.
var lossFlags = [3]struct {
	name, usage string
	kind        chaos.Loss
}{
	{"dbkill", "measure so many deaths of the primary's mysqld instead, its agent alive", chaos.ServerKilled},
	{"dbcut", "measure so many silent losses of the primary's host instead", chaos.HostCut},
	{"dbcutleader", "measure so many silent losses of the primary's host instead, with the keepers' leader on it", chaos.HostCutLeader},
}

func main() {
	var f flags
	flag.StringVar(&f.bin, "bin", "bin", "directory with the programs, and those that -build adds")
	flag.StringVar(&f.only, "only", "", "names of scenarios, with commas between; empty: all")
	flag.StringVar(&f.keep, "keep", "jepsen-runs", "directory for what runs leave that are not green")
	flag.StringVar(&f.report, "report", "", "file for the report, JSON; empty: none")
	flag.Uint64Var(&f.seed, "seed", 0, "of the first run; 0: random, and printed")
	flag.IntVar(&f.count, "count", 1, "how often each scenario runs, each time with the next seed")
	flag.IntVar(&f.nodes, "nodes", 0, "keepers; 0: as the scenario says")
	flag.DurationVar(&f.duration, "duration", 0, "of the disturbed part of a run; 0: one pass over its faults")
	flag.DurationVar(&f.soak, "soak", 0, "run scenarios in random order until so much time is over or one is not green")
	flag.BoolVar(&f.list, "list", false, "list the scenarios and end")
	flag.BoolVar(&f.full, "full", false, "run the whole matrix of the scenarios that are named and have one (G8)")
	flag.BoolVar(&f.sound, "sound", false, "run the controls of the switch with programs that are whole: they must not be found out")
	flag.BoolVar(&f.build, "build", false, "build the other programs that runs need into -bin, and end")
	flag.IntVar(&f.kills, "kills", 0, "measure so many deaths of the leader instead")
	flag.DurationVar(&f.calm, "calm", 0, "count the elections under full load for so long instead")
	for i, l := range lossFlags {
		flag.IntVar(&f.losses[i], l.name, 0, l.usage)
	}
	flag.StringVar(&f.profile, "profile", "default", "--raft-profile of the keepers that are measured")
	flag.IntVar(&f.switches, "switches", 0, "measure so many planned switches of a fleet with MariaDB instead")
	flag.IntVar(&f.elections, "elections", 0, "measure what so many deaths and pauses of the leader do to the primary's lease instead")
	flag.StringVar(&f.with, "with", "", "directory with another build, which takes turns with that in -bin while switches are measured")
	flag.Parse()
	if f.switches > 0 || f.elections > 0 {
		if err := measureSwitches(f); err != nil {
			fail(err)
		}
		return
	}
	if f.build {
		if err := chaos.Build(context.Background(), f.bin); err != nil {
			fail(err)
		}
		return
	}
	if f.list {
		chaos.List(os.Stdout)
		return
	}
	want, err := enter.Wanted()
	if err != nil {
		fail(err)
	}
	tier, err := enter.Enter(want) // does not return in the outer process
	if err != nil {
		fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, tier, f))
}

// run is the exit code.
func run(ctx context.Context, tier fault.Tier, f flags) int {
	fmt.Printf("tier %s: %s\n", tier, enter.Probe())
	if _, err := proc.Sweep(); err != nil { // what a killed run may have left
		fail(err)
	}
	var only []string
	if f.only != "" {
		only = strings.Split(f.only, ",")
	}
	if f.full {
		only = chaos.Full(only)
	}
	picked, err := chaos.Scenarios(only, f.soak > 0)
	if err != nil {
		fail(err)
	}
	if f.seed == 0 {
		f.seed = 1 + rand.Uint64N(1<<32)
	}
	fmt.Printf("seed %d; the same again: make jepsen SEED=%d\n", f.seed, f.seed)
	for _, path := range []*string{&f.bin, &f.keep} {
		if *path, err = filepath.Abs(*path); err != nil {
			fail(err)
		}
	}
	opts := chaos.Options{Tier: tier, BinDir: f.bin, KeepDir: f.keep, Seed: f.seed, Duration: f.duration, Nodes: f.nodes, Sound: f.sound}
	switch {
	case f.kills > 0:
		err = chaos.MeasureKills(ctx, os.Stdout, opts, f.kills, f.profile)
	case f.calm > 0:
		err = chaos.MeasureCalm(ctx, os.Stdout, opts, f.calm, f.profile)
	}
	measured := f.kills > 0 || f.calm > 0
	for i, l := range lossFlags {
		if f.losses[i] > 0 && !measured {
			measured = true
			err = chaos.MeasureLoss(ctx, os.Stdout, opts, l.kind, f.losses[i], f.profile, f.report)
		}
	}
	if err != nil {
		fail(err)
	}
	if measured {
		return 0
	}
	var results []chaos.Result
	if f.soak > 0 {
		results = chaos.Soak(ctx, os.Stdout, picked, opts, f.soak)
	} else {
		results = chaos.Series(ctx, os.Stdout, picked, opts, f.count)
	}
	if f.report != "" {
		if err := chaos.WriteReport(f.report, results); err != nil {
			fail(err)
		}
	}
	if !chaos.Summarize(os.Stdout, results) || ctx.Err() != nil {
		return 1
	}
	return 0
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "zerojepsen:", err)
	os.Exit(1)
}
