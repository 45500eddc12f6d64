package keeper

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zerokeeper/zero/fsm"
)

// ruleChoice is the rule under which the choice of a new primary is recorded.
const ruleChoice = "choice of the new primary"

// choiceSoFar records where the choice stands before anything was stopped.
func (k *Keeper) choiceSoFar(g *fsm.HostGroup) fsm.Check {
	list := k.contenders(g)
	found, err := choose(list, fsm.PolicyAvailable)
	check := choiceCheck(list, found)
	if check.Rule += " (as it stands)"; err != nil {
		check.OK, check.Detail = false, oneLine(err)
	}
	return check
}

// rank fills in what the rules of choice look at beside the positions: prefer,
// the zone of the old primary, and how far behind the candidate was.
func (k *Keeper) rank(c *contender, state *fsm.State, settings fsm.Settings, from string) {
	c.prefer = preferred(settings, c.address)
	if a := state.Agent(c.address); a != nil {
		c.zone = a.Zone
	}
	if old := state.Agent(from); old != nil {
		c.near = old.Zone != "" && old.Zone == c.zone
	}
	beat, _, heard := k.presence.agent(c.address)
	if c.behind = -1; heard && beat.LastLagMS >= 0 {
		c.behind = time.Duration(beat.LastLagMS) * time.Millisecond
	}
	c.lagging = settings.SafeLag > 0 && c.behind > time.Duration(settings.SafeLag) && !c.caughtUp()
}

// caughtUp reports whether it has applied all that it has received: what it was
// behind before does not count then.
func (c contender) caughtUp() bool {
	received, err := parseGTIDs(c.received)
	if err != nil {
		return false
	}
	applied, err := parseGTIDs(c.applied)
	return err == nil && applied.covers(received)
}

// passOver leaves those that lag out, unless nobody else is left.
func passOver(list []contender, full []int) []int {
	brisk := slices.DeleteFunc(slices.Clone(full), func(i int) bool { return list[i].lagging })
	if len(brisk) == 0 {
		return full
	}
	return brisk
}

// precedes orders two that have received the same: the preferred, then the zone
// of the old primary, then who has applied most, then the order of the list.
func precedes(list []contender, a, b int) int {
	if order := cmp.Or(list[a].prefer-list[b].prefer, far(list[a])-far(list[b])); order != 0 {
		return order
	}
	x, _ := parseGTIDs(list[a].applied) // unknown: nothing is applied
	y, _ := parseGTIDs(list[b].applied)
	return cmp.Or(y.compare(x), a-b)
}

func far(c contender) int {
	if c.near {
		return 0
	}
	return 1
}

// String is what the rules see of it.
func (c contender) String() string {
	var facts []string
	if c.excluded != "" {
		facts = append(facts, "cannot be: "+c.excluded)
	}
	if c.received != "" {
		facts = append(facts, "received "+c.received)
	}
	if c.applied != "" && !c.caughtUp() {
		facts = append(facts, "applied "+c.applied)
	}
	if c.zone != "" {
		facts = append(facts, "zone "+c.zone)
	}
	if c.lagging {
		facts = append(facts, fmt.Sprintf("was %v behind, more than safe_lag", c.behind))
	}
	if len(facts) == 0 {
		facts = append(facts, "nothing is known of it")
	}
	return c.address + " (" + strings.Join(facts, ", ") + ")"
}

// choiceCheck records what the choice was made of.
func choiceCheck(list []contender, found choice) fsm.Check {
	inputs := make([]string, len(list))
	for i, c := range list {
		inputs[i] = c.String()
	}
	return fsm.Check{Rule: ruleChoice, OK: true, Input: strings.Join(inputs, "; "), Detail: found.address + ": " + found.why}
}

// reason says why best was chosen among full, of which there was at least one.
func reason(list []contender, eligible, full []int, best int) string {
	c := list[best]
	passed := ""
	for _, i := range eligible {
		if list[i].lagging && i != best {
			passed += "; " + list[i].address + " was passed over, it was " + list[i].behind.String() + " behind"
		}
	}
	var why string
	switch {
	case len(eligible) == 1:
		why = "the only one that can be"
	case len(full) == 1 && passed == "":
		why = "it alone has received most"
	case !slices.ContainsFunc(full, func(i int) bool { return i != best && list[i].prefer <= c.prefer }):
		why = "it has all that was received, and is preferred"
	case c.near && !slices.ContainsFunc(full, func(i int) bool { return i != best && list[i].prefer == c.prefer && list[i].near }):
		why = "it has all that was received, and is in the zone of the old primary"
	default:
		why = "it has all that was received, and has applied most, or is the first of these"
	}
	return why + passed
}
