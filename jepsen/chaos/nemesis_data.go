package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fleet"
)

// sides is what a partition of the data plane is made of: the places of each kind, and who is what when it begins.
type sides struct {
	keepers, proxies, databases []int
	leader, primary             int
}

// all are the places of the fleet, without the clients'.
func (s sides) all() []int { return slices.Concat(s.keepers, s.proxies, s.databases) }

// without are those of a list that are not named.
func without(list []int, named ...int) []int {
	return slices.DeleteFunc(slices.Clone(list), func(p int) bool { return slices.Contains(named, p) })
}

// deafen lets nobody of tos hear anything of froms.
func deafen(set rules, tos, froms []int) {
	for _, to := range tos {
		for _, from := range froms {
			if to != from {
				set[fault.Pair{From: from, To: to}] = fault.Rule{Cut: true}
			}
		}
	}
}

// part cuts both directions between two lists of places.
func part(set rules, as, bs []int) rules {
	deafen(set, as, bs)
	deafen(set, bs, as)
	return set
}

// sides looks who is what. It waits until there is a leader that knows the group.
func (r *Run) sides(ctx context.Context) (sides, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	var s sides
	for i := range r.Nodes {
		s.keepers = append(s.keepers, i)
	}
	for _, p := range r.Data.Proxies {
		s.proxies = append(s.proxies, p.Place)
	}
	for _, h := range r.Data.Hosts {
		s.databases = append(s.databases, h.Place)
	}
	leader, err := r.Quorum.leader(ctx)
	if err != nil {
		return s, err
	}
	s.leader = leader.index
	return s, fleet.Eventually(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		primary, err := r.Data.primary(ctx)
		if err == nil {
			s.primary = primary.Place
		}
		return err
	})
}

// placeName is what lives at a place.
func (r *Run) placeName(place int) string {
	switch first := r.Nodes + r.Scenario.Spare; {
	case place == fault.Driver:
		return "clients"
	case place < first:
		return fmt.Sprintf("k%d", place+1)
	case place < first+len(r.Data.Proxies):
		return r.Data.Proxies[place-first].Name()
	default:
		return r.Data.Hosts[place-first-len(r.Data.Proxies)].Name()
	}
}

// split is a kind of partition of the data plane.
type split struct {
	name  string
	rules func(s sides, rand *rand.Rand) rules
	// gone is the primary: the partition lasts for longer, nobody asks for planned switches meanwhile, and it is the
	// keepers' to find another.
	gone bool
}

// goneFor is how much longer a fault lasts that a failover must end.
const goneFor = 2500 * time.Millisecond

// nemesis makes a disturbance of the partition.
func (s split) nemesis() nemesis {
	n := netFault(s.name, func(ctx context.Context, r *Run, rand *rand.Rand) (rules, string, error) {
		now, err := r.sides(ctx)
		if err != nil {
			return nil, "", err
		}
		set := s.rules(now, rand)
		return set, fmt.Sprintf("%s: %s leads, %s is the primary; %s", s.name, r.placeName(now.leader), r.placeName(now.primary), r.cuts(set)), nil
	})
	if s.gone {
		return withoutMoves(n)
	}
	return n
}

// withoutMoves is a longer disturbance during which nobody asks for planned switches.
func withoutMoves(n nemesis) nemesis {
	return nemesis{name: n.name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		r.Data.still.Add(1)
		defer r.Data.still.Add(-1)
		if err := r.Data.noSwitch(ctx); err != nil {
			return err
		}
		return n.run(ctx, r, rand, on+goneFor)
	}}
}

// cuts names the pairs that are cut, those both ways once.
func (r *Run) cuts(set rules) string {
	var text []string
	for pair, rule := range set {
		back, both := set[fault.Pair{From: pair.To, To: pair.From}]
		switch {
		case !rule.Cut, both && back.Cut && pair.From > pair.To:
		case both && back.Cut:
			text = append(text, r.placeName(pair.From)+"|"+r.placeName(pair.To))
		default:
			text = append(text, r.placeName(pair.From)+">"+r.placeName(pair.To))
		}
	}
	slices.Sort(text)
	return "cut: " + strings.Join(text, " ")
}

// pick draws one of a list.
func pick(rand *rand.Rand, list []int) int { return list[rand.IntN(len(list))] }

// splits are the partitions across keepers, proxies, agents and databases.
var splits = []split{
	{name: "proxy without keepers", rules: func(s sides, rand *rand.Rand) rules {
		return part(rules{}, []int{pick(rand, s.proxies)}, s.keepers)
	}},
	{name: "primary without keepers", rules: func(s sides, _ *rand.Rand) rules { // its clients and replicas still see it
		return part(rules{}, []int{s.primary}, s.keepers)
	}},
	{name: "replica's agent without keepers", rules: func(s sides, rand *rand.Rand) rules { // its mysqld replicates
		return part(rules{}, []int{pick(rand, without(s.databases, s.primary))}, s.keepers)
	}},
	{name: "primary's host cut off", gone: true, rules: func(s sides, _ *rand.Rand) rules {
		return part(rules{}, []int{s.primary}, append(without(s.all(), s.primary), fault.Driver))
	}},
	{name: "primary's host cut off in a switch", rules: func(s sides, _ *rand.Rand) rules {
		return part(rules{}, []int{s.primary}, append(without(s.all(), s.primary), fault.Driver))
	}},
	{name: "primary's host mute", gone: true, rules: func(s sides, _ *rand.Rand) rules { // it hears everybody
		set := rules{}
		deafen(set, without(s.all(), s.primary), []int{s.primary})
		return set
	}},
	{name: "primary and leader apart", gone: true, rules: func(s sides, rand *rand.Rand) rules { // with a proxy that sees only them
		with := []int{s.primary, s.leader, pick(rand, s.proxies)}
		return part(rules{}, with, without(s.all(), with...))
	}},
	{name: "split views", rules: func(s sides, rand *rand.Rand) rules {
		// One keeper with the primary and some proxies on one side; the others see the majority. Databases see each other.
		one := pick(rand, s.keepers)
		order := rand.Perm(len(s.proxies))
		left := []int{one, s.primary}
		for _, i := range order[:len(order)/2] {
			left = append(left, s.proxies[i])
		}
		set := part(rules{}, left, without(slices.Concat(s.keepers, s.proxies), left...))
		return part(set, []int{one}, without(s.databases, s.primary))
	}},
	{name: "primary without replicas", rules: func(s sides, _ *rand.Rand) rules { // nobody acknowledges
		return part(rules{}, []int{s.primary}, without(s.databases, s.primary))
	}},
	{name: "keepers apart from each other", rules: func(s sides, _ *rand.Rand) rules { // no quorum: no lease lasts
		return part(rules{}, s.keepers, s.keepers)
	}},
	{name: "any pairs", rules: func(s sides, rand *rand.Rand) rules { // each direction with one chance in four
		set := rules{}
		all := s.all()
		for _, to := range all {
			for _, from := range all {
				if rand.IntN(4) == 0 {
					deafen(set, []int{to}, []int{from})
				}
			}
		}
		return set
	}},
}

// dataFaults are all splits, and the death of the primary's server, each by itself and each followed by what brings
// everything into order.
func dataFaults(ordered func(nemesis) nemesis) []nemesis {
	all := []nemesis{ordered(withoutMoves(primaryKilled()))}
	for _, s := range splits {
		all = append(all, ordered(s.nemesis()))
	}
	return all
}

// primaryKilled is kill -9 of the primary's mysqld. Its agent lives.
func primaryKilled() nemesis {
	const name = "primary's mysqld killed"
	return nemesis{name: name, run: func(ctx context.Context, r *Run, _ *rand.Rand, on time.Duration) error {
		now, err := r.sides(ctx)
		if err != nil {
			return err
		}
		h := r.hostAt(now.primary)
		r.Timeline.Inject(name, "kill -9 of %s", h.Name())
		if err := h.KillServer(); err != nil {
			return err
		}
		wait(ctx, on)
		after, err := r.sides(ctx)
		if err != nil {
			return err
		}
		if after.primary != now.primary {
			r.Timeline.Bite(name, fmt.Sprintf("%s became the primary", r.placeName(after.primary)))
		}
		return h.Raise()
	}}
}

// hostAt is the database's host at a place.
func (r *Run) hostAt(place int) *DBHost {
	return r.Data.Hosts[slices.IndexFunc(r.Data.Hosts, func(h *DBHost) bool { return h.Place == place })]
}
