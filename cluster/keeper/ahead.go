package keeper

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/zerokeeper/zero/fsm"
)

// ignored says of each server that a failover passes over what it has that the new
// primary lacks. None of it was acknowledged, so none is lost that a client was
// promised: what an errant server wrote itself it wrote before a failover that found all that
// was acknowledged elsewhere, or that recorded what it lost; and who is not in the record
// acknowledges nothing (R20). But that server differs from the others from now on, and a
// person who looks for a row has to know where it is.
func ignored(list []contender, others []bystander, chosen string) []string {
	i := slices.IndexFunc(list, func(c contender) bool { return c.address == chosen })
	if i < 0 {
		return nil
	}
	has, err := parseGTIDs(list[i].received)
	if err != nil {
		return nil
	}
	var said []string
	ahead := func(address, what, position string) {
		if has2, err := parseGTIDs(position); err == nil && !has.covers(has2) {
			said = append(said, fmt.Sprintf("%s has %s, which %s lacks, and is ignored: %s", address, position, chosen, what))
		}
	}
	for _, c := range list {
		if c.outside {
			ahead(c.address, "it wrote that itself, and nobody acknowledged it", c.own)
		}
	}
	for _, b := range others {
		ahead(b.address, "it is not in the record, and acknowledges nothing", b.position)
	}
	return said
}

// bystander is a server of the group that a failover does not ask.
type bystander struct{ address, position string }

// bystanders are the servers of a group that are neither the old primary nor recorded, with
// what their agents said last that they have.
func (k *Keeper) bystanders(g *fsm.HostGroup, from string) []bystander {
	var list []bystander
	if g == nil {
		return nil
	}
	for _, address := range g.Datasources {
		beat, _, heard := k.presence.agent(address)
		if address == from || g.Replica(address) != "" || !heard {
			continue
		}
		list = append(list, bystander{address, cmp.Or(beat.Received, beat.Position, beat.Applied)})
	}
	return list
}
