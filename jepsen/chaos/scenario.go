package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// fabric is what joins the keepers of a scenario.
type fabric string

// The fabrics.
const (
	bridged fabric = "bridge" // the kernel's; can be cut
	shaped  fabric = "switch" // ours; can be cut, slow, lossy; falls back to nothing: tier A only
	relayed fabric = "relay"  // loopback
)

// volume is what the keepers' data is on.
type volume string

// The volumes.
const (
	plain volume = "directory"
	ext4  volume = "ext4"
	fuse  volume = "fuse"
)

// Scenario is a workload, the faults it runs under and what must hold.
type Scenario struct {
	Name       string // G1
	Title      string
	Invariants string // that are judged: "I1 I3"
	Nodes      int    // in the smoke run
	AlsoNodes  []int  // in soaks besides
	Spare      int    // places for keepers that join
	Fabric     fabric
	Volume     volume
	Clock      bool          // with a wall clock that can be moved
	Args       []string      // of the keepers
	Control    string        // what the keepers are built to break; the run must find it
	Finds      string        // with Control: what a problem must begin with
	Quiet      []string      // lines of keepers' logs that are expected here (regular expressions)
	Most       float64       // share of unknown outcomes above which the run says nothing; 0: 0.1
	Limit      time.Duration // of the whole run; 0: 90 s
	Longer     bool          // only in soaks and by name: another covers it in the smoke run
	Data       *dataPlan     // proxies and databases behind the keepers; nil: none

	// Play disturbs the quorum while its own workload runs. It returns an error
	// when it could not go on, not when it saw a violation: that is r.Violation.
	Play func(ctx context.Context, r *Run) error
	// Judge is asked after all keepers have stopped, besides what every run is
	// judged by. It may be nil.
	Judge func(ctx context.Context, r *Run)
}

// scenarios are all, in their order; a file for each adds to it.
var scenarios []*Scenario

func register(s *Scenario) { scenarios = append(scenarios, s) }

// Scenarios are those whose name is one of only; G18 are all controls. When it is
// empty they are all, for a soak, or those of the smoke run.
func Scenarios(only []string, soak bool) ([]*Scenario, error) {
	all := slices.Clone(scenarios)
	slices.SortStableFunc(all, func(a, b *Scenario) int { return strings.Compare(order(a), order(b)) })
	if len(only) == 0 {
		return slices.DeleteFunc(all, func(s *Scenario) bool { return s.Longer && !soak }), nil
	}
	var picked []*Scenario
	for _, name := range only {
		before := len(picked)
		for _, s := range all {
			if s.Name == name || (name == "G18" && s.Control != "") {
				picked = append(picked, s)
			}
		}
		if len(picked) == before {
			return nil, fmt.Errorf("no scenario %q: there are %s", name, strings.Join(names(all), ", "))
		}
	}
	return picked, nil
}

// Full are the names with the whole matrix in place of its smoke run, where there
// is one.
func Full(only []string) []string {
	full := slices.Clone(only)
	for i, name := range full {
		if slices.Contains(names(scenarios), name+"-full") {
			full[i] = name + "-full"
		}
	}
	return full
}

// order sorts G2 before G10, and controls last.
func order(s *Scenario) string {
	var n int
	_, _ = fmt.Sscanf(s.Name, "G%d", &n)
	return fmt.Sprintf("%v %03d %s", s.Control != "", n, s.Name)
}

func names(all []*Scenario) []string {
	var list []string
	for _, s := range all {
		list = append(list, s.Name)
	}
	return list
}
