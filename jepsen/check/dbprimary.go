package check

import (
	"cmp"
	"slices"
	"time"
)

// DBLook is one look at a server's read_only, asked beside the proxies.
type DBLook struct {
	Server          string        `json:"server"`
	Asked, Answered time.Duration // the server had the value at some moment between
	ReadOnly        bool          `json:"readOnly"`
	// Guarded: its agent ran and was not paused, now and long enough before that it could have acted. Whoever has no agent
	// may stay writable; what is written there must not be acknowledged, which the writes show.
	Guarded bool `json:"guarded"`
}

// maxLookGap bounds the time between two looks that are taken to speak for the time between them.
const maxLookGap = 400 * time.Millisecond

// OnePrimary checks I4. By the writes: the GTIDs of what was acknowledged name each place in the order of a domain once,
// they rise in real time (a write that was begun after the acknowledgement of another comes after it), and the writer changes
// at most as often as a primary was committed (commits; below 0: not known). So after the first acknowledged write of a new
// primary none of the old one's is acknowledged. By the looks: no two guarded servers are writable at the same time.
func OnePrimary(writes []DBWrite, looks []DBLook, commits int) Verdict {
	f := newFinding()
	acked, gtids := acknowledged(f, writes)
	order(f, acked, gtids)
	reigns(f, acked, gtids, commits)
	together(f, looks)
	if len(acked) == 0 {
		f.undecided("no write was acknowledged with its GTID")
	}
	if len(looks) == 0 {
		f.undecided("nobody looked who was writable")
	}
	return f.verdict()
}

// OneWritable is what OnePrimary finds by the looks alone.
func OneWritable(looks []DBLook) Verdict {
	f := newFinding()
	together(f, looks)
	if len(looks) == 0 {
		f.undecided("nobody looked who was writable")
	}
	return f.verdict()
}

// order compares the sequence with real time.
func order(f *finding, acked []DBWrite, gtids []GTID) {
	byReturn := make([]int, len(acked))
	for i := range byReturn {
		byReturn[i] = i
	}
	byCall := slices.Clone(byReturn)
	slices.SortFunc(byReturn, func(a, b int) int { return cmp.Compare(acked[a].Return, acked[b].Return) })
	slices.SortFunc(byCall, func(a, b int) int { return cmp.Compare(acked[a].Call, acked[b].Call) })
	newest := make(map[uint32]int) // by domain: the highest sequence of all that had returned
	next := 0
	for _, i := range byCall {
		for ; next < len(byReturn) && acked[byReturn[next]].Return < acked[i].Call; next++ {
			j := byReturn[next]
			if before, ok := newest[gtids[j].Domain]; !ok || gtids[j].Seq > gtids[before].Seq {
				newest[gtids[j].Domain] = j
			}
		}
		if before, ok := newest[gtids[i].Domain]; ok && gtids[i].Seq <= gtids[before].Seq {
			f.problem("%v; and acknowledged before it began: %v", acked[i], acked[before])
		}
	}
}

// reigns looks at who wrote what in the order of the sequence.
func reigns(f *finding, acked []DBWrite, gtids []GTID, commits int) {
	all := make([]int, len(acked))
	for i := range all {
		all[i] = i
	}
	slices.SortFunc(all, func(a, b int) int {
		return cmp.Or(cmp.Compare(gtids[a].Domain, gtids[b].Domain), cmp.Compare(gtids[a].Seq, gtids[b].Seq))
	})
	changes := 0
	for n, i := range all {
		if n == 0 || gtids[all[n-1]].Domain != gtids[i].Domain {
			continue
		}
		before := all[n-1]
		if gtids[i].Seq == gtids[before].Seq {
			f.problem("one place in the order for two: %v; %v", acked[before], acked[i])
		}
		if gtids[i].Server != gtids[before].Server {
			changes++
		}
	}
	f.stat("changesOfWriter", changes)
	if commits >= 0 && changes > commits {
		f.problem("the writer of what was acknowledged changed %d times, and a primary was committed %d times", changes, commits)
	}
}

// together looks for two servers that were writable at once.
func together(f *finding, looks []DBLook) {
	type span struct {
		server   string
		from, to time.Duration
	}
	var spans []span
	last := make(map[string]DBLook)
	slices.SortStableFunc(looks, func(a, b DBLook) int { return cmp.Compare(a.Asked, b.Asked) })
	for _, l := range looks {
		before, ok := last[l.Server]
		last[l.Server] = l
		if ok && !before.ReadOnly && !l.ReadOnly && before.Guarded && l.Guarded && l.Answered-before.Asked <= maxLookGap {
			spans = append(spans, span{l.Server, before.Answered, l.Asked})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	f.stat("looks", len(looks))
	f.stat("writableSpans", len(spans))
	latest := make(map[string]span) // the one of each server that ends last
	for _, s := range spans {
		for _, server := range sorted(latest) {
			if other := latest[server]; server != s.server && other.to > s.from {
				f.problem("%s was writable from %v to %v, and %s from %v to %v", other.server, other.from, other.to, s.server, s.from, s.to)
			}
		}
		if s.to > latest[s.server].to {
			latest[s.server] = s
		}
	}
}
