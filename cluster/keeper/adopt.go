package keeper

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// witness is what an agent of a frozen group says that it knows, or why that does
// not count yet.
type witness struct {
	address   string
	missing   string // why it has not answered; empty: it has
	stamp     api.Stamp
	committed uint64 // generation of the last commit that it heard of
	primary   string // whom that made the primary
}

func (w witness) String() string {
	if w.missing != "" {
		return w.missing
	}
	return fmt.Sprintf("stamp %s, %s is the primary since generation %d", w.stamp, cmp.Or(w.primary, "it does not know who"), w.committed)
}

// adoption is who a frozen group's primary is by what its agents say.
type adoption struct {
	primary    string
	committed  uint64
	generation uint64   // the highest that anybody has seen
	waits      []string // what is still missing; empty: it can be thawed
	reason     string
}

// adopt says who the primary of a frozen group is: the one of the highest commit
// that an agent knows of, or else that of the record (R25). Every agent must have
// answered: the one that is missing may be the primary. seen are the highest stamps
// of proxies.
//
// No commit is believed on one word: before any, orders of its generation went to
// the candidate, the other replicas and every proxy, so that somebody else has seen
// it as well.
func adopt(g *fsm.HostGroup, witnesses []witness, seen []api.Stamp) adoption {
	a := adoption{primary: g.Datasources[g.Writable], committed: g.Committed, generation: max(g.Generation, g.Heard), reason: "no agent knows of a later commit than the record"}
	var best []witness // of the highest commit
	newest := func(w, v witness) int {
		return cmp.Or(cmp.Compare(w.stamp.Epoch, v.stamp.Epoch), cmp.Compare(w.committed, v.committed))
	}
	for _, w := range witnesses {
		if w.missing != "" {
			a.waits = append(a.waits, w.address+": "+w.missing)
			continue
		}
		a.generation = max(a.generation, w.stamp.Generation)
		switch {
		case w.primary == "": // it was in another group, and knows nothing of this one
		case len(best) == 0 || newest(w, best[0]) > 0:
			best = []witness{w}
		case newest(w, best[0]) == 0:
			best = append(best, w)
		}
	}
	for _, s := range seen {
		a.generation = max(a.generation, s.Generation)
	}
	if len(best) == 0 || len(a.waits) > 0 {
		return a
	}
	top := best[0]
	if slices.ContainsFunc(best, func(w witness) bool { return w.primary != top.primary }) {
		var who []string
		for _, w := range best {
			who = append(who, fmt.Sprintf("%s says %s", w.address, cmp.Or(w.primary, "nobody")))
		}
		a.waits = append(a.waits, fmt.Sprintf("the agents disagree about the primary of generation %d (%s): an operator decides", top.committed, strings.Join(who, ", ")))
		return a
	}
	if top.committed == a.committed && top.primary == a.primary {
		return a // what the record has
	}
	known := 0
	for _, w := range witnesses {
		if w.stamp.Generation >= top.committed {
			known++
		}
	}
	for _, s := range seen {
		if s.Generation >= top.committed {
			known++
		}
	}
	switch {
	case !slices.Contains(g.Datasources, top.primary):
		a.waits = append(a.waits, fmt.Sprintf("%q is the primary since generation %d, says %s, and is not in the configuration: push one that names it, or an operator decides", top.primary, top.committed, top.address))
	case top.committed < g.Committed:
		a.waits = append(a.waits, fmt.Sprintf("the record has a commit of generation %d, and no agent knows of one after %d: an operator decides", g.Committed, top.committed))
	case known < 2 && len(g.Datasources) > 1:
		a.waits = append(a.waits, fmt.Sprintf("only %s says that %s was made the primary in generation %d, and nobody else has seen that generation: an operator decides", top.address, top.primary, top.committed))
	default:
		a.primary, a.committed = top.primary, top.committed
		a.reason = fmt.Sprintf("%d of %d agents know it as the primary since generation %d, and none knows a later one", len(best), len(witnesses), top.committed)
	}
	return a
}
