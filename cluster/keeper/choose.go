package keeper

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// contender is a replica that might become the primary.
type contender struct {
	address  string
	stopped  bool   // it receives no more, or what it says is taken as it is
	excluded string // why it cannot be the primary; empty: it can
	received string // GTID position
	applied  string
	own      string // of one that is outside: what it wrote itself
	outside  bool   // it takes no part in the replication: received is what it has of the old primary's own, empty for nothing
	prefer   int    // place in the list of the preferred, behind its end when it is not
	zone     string
	near     bool          // in the zone of the old primary
	behind   time.Duration // its source, when that was last known; negative: never
	lagging  bool          // behind by more than safe_lag, and not caught up
}

// choice is whom a failover falls on.
type choice struct {
	address string
	lost    string // what may be lost with it, only under PolicyAvailable
	why     string
}

// choose picks the new primary: one that can be, and has received all that any
// replica has (R19); among these those that do not lag, the preferred, the one in
// the old primary's zone, the one that has applied most, the first of the list. Under PolicyLossless everybody must have
// stopped to receive, and whoever has most must be one that can be the primary.
// Under PolicyAvailable the best that is left is taken, and what that may lose is
// said.
func choose(list []contender, policy string) (choice, error) {
	var (
		lost     []string
		eligible []int
		reasons  []string
		most     gtids
	)
	known := make([]gtids, len(list))
	for i, c := range list {
		position, err := parseGTIDs(c.received)
		if c.outside && c.received == "" {
			position, err = gtids{}, nil
		}
		switch {
		case !c.stopped:
			lost = append(lost, fmt.Sprintf("%s was not reached: what it alone has received", c.address))
		case err != nil:
			lost = append(lost, fmt.Sprintf("%s does not say what it has received (%v)", c.address, err))
		default:
			known[i] = position
			most = most.union(position)
			if c.excluded == "" {
				eligible = append(eligible, i)
				continue
			}
		}
		if c.excluded != "" {
			reasons = append(reasons, c.address+": "+c.excluded)
		}
	}
	full := slices.DeleteFunc(slices.Clone(eligible), func(i int) bool { return !known[i].covers(most) })
	switch {
	case policy != fsm.PolicyAvailable && len(lost) > 0:
		return choice{}, api.Errorf(api.MayLoseWrites, "an acknowledged write might be missing: %s (policy %s; an operator may override it)", strings.Join(lost, "; "), policy)
	case len(eligible) == 0:
		return choice{}, api.Errorf(api.NoCandidate, "no replica can become the primary: %s", strings.Join(append(reasons, lost...), "; "))
	case len(full) == 0 && policy != fsm.PolicyAvailable:
		return choice{}, api.Errorf(api.MayLoseWrites, "no replica that can become the primary has all of %s: %s", most, strings.Join(reasons, "; "))
	case len(full) == 0:
		full = []int{slices.MaxFunc(eligible, func(a, b int) int { return known[a].compare(known[b]) })}
		lost = append(lost, fmt.Sprintf("%s has %s of %s", list[full[0]].address, known[full[0]], most))
	}
	full = passOver(list, full)
	best := slices.MinFunc(full, func(a, b int) int { return precedes(list, a, b) })
	return choice{address: list[best].address, lost: strings.Join(lost, "; "), why: reason(list, eligible, full, best)}, nil
}

// gtids is a MariaDB GTID position: the last sequence number of each domain.
type gtids map[uint32]uint64

// parseGTIDs reads domain-server-sequence, with commas between. An empty
// position is an error: it says nothing.
func parseGTIDs(text string) (gtids, error) {
	if text == "" {
		return nil, fmt.Errorf("no GTID position")
	}
	position := gtids{}
	for part := range strings.SplitSeq(text, ",") {
		fields := strings.Split(strings.TrimSpace(part), "-")
		if len(fields) != 3 {
			return nil, fmt.Errorf("%q is not a GTID position", text)
		}
		domain, err1 := strconv.ParseUint(fields[0], 10, 32)
		_, err2 := strconv.ParseUint(fields[1], 10, 32)
		sequence, err3 := strconv.ParseUint(fields[2], 10, 64)
		if err1 != nil || err2 != nil || err3 != nil {
			return nil, fmt.Errorf("%q is not a GTID position", text)
		}
		position[uint32(domain)] = max(position[uint32(domain)], sequence)
	}
	return position, nil
}

// covers reports whether a server at g has everything up to o.
func (g gtids) covers(o gtids) bool {
	for domain, sequence := range o {
		if g[domain] < sequence {
			return false
		}
	}
	return true
}

// union is what g and o have together.
func (g gtids) union(o gtids) gtids {
	all := gtids{}
	for _, p := range []gtids{g, o} {
		for domain, sequence := range p {
			all[domain] = max(all[domain], sequence)
		}
	}
	return all
}

// compare orders positions by how many transactions they hold.
func (g gtids) compare(o gtids) int {
	switch a, b := g.covers(o), o.covers(g); {
	case a && b:
		return 0
	case a:
		return 1
	case b:
		return -1
	}
	var x, y uint64
	for _, n := range g {
		x += n
	}
	for _, n := range o {
		y += n
	}
	if x < y {
		return -1
	}
	return 1
}

// String is for people: domain:sequence.
func (g gtids) String() string {
	var parts []string
	for domain, sequence := range g {
		parts = append(parts, fmt.Sprintf("%d:%d", domain, sequence))
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}
