package check

import (
	"fmt"
	"slices"
	"strings"
)

// DBFinal is what one server has after the run.
type DBFinal struct {
	Name string
	// Rows are how often each part (1 to Parts) of each write is there.
	Rows map[int64]map[int]int
	// State is the last transaction of each server in its binary log (@@gtid_binlog_state).
	State []GTID
}

// NoLostWrite checks I5 on servers that have caught up with the final primary, which is among them. Every acknowledged write
// is on each, whole and once, and so is its GTID; one that surely was not done is on none; one in doubt is on all or none,
// whole or not at all; and nothing is there that nobody wrote.
func NoLostWrite(writes []DBWrite, finals []DBFinal) Verdict {
	f := newFinding()
	acked, gtids := acknowledged(f, writes)
	byID := make(map[int64]DBWrite, len(writes))
	for _, w := range writes {
		byID[w.ID] = w
	}
	recovered := make(map[int64]int) // in doubt, and there: on how many
	for _, final := range finals {
		lostGTIDs(f, final, acked, gtids)
		var lost, undone, doubled, partial, alien []string
		for _, w := range writes {
			parts := final.Rows[w.ID]
			there, most := 0, 0
			for part, n := range parts {
				most = max(most, n)
				if part >= 1 && part <= w.Parts {
					there++
				}
			}
			switch {
			case w.Outcome == OK && there < w.Parts:
				lost = append(lost, fmt.Sprintf("%d (%s by %s at %v, %d of %d rows)", w.ID, w.GTID, w.Proxy, w.Return, there, w.Parts))
			case w.Outcome == Failed && there > 0:
				undone = append(undone, fmt.Sprintf("%d (by %s: %s)", w.ID, w.Proxy, w.Error))
			case w.Outcome == Unknown && there > 0 && there < w.Parts:
				partial = append(partial, fmt.Sprint(w.ID))
			case w.Outcome == Unknown && there > 0:
				recovered[w.ID]++
			}
			if most > 1 {
				doubled = append(doubled, fmt.Sprint(w.ID))
			}
			if there < len(parts) {
				alien = append(alien, fmt.Sprintf("part of %d", w.ID))
			}
		}
		for id := range final.Rows {
			if _, ok := byID[id]; !ok {
				alien = append(alien, fmt.Sprint(id))
			}
		}
		report := func(what string, ids []string) {
			if len(ids) > 0 {
				slices.Sort(ids)
				f.problem("%s: %d %s: %s", final.Name, len(ids), what, few(ids))
			}
		}
		report("acknowledged writes are lost", lost)
		report("writes are there that were refused", undone)
		report("writes in doubt are there in part", partial)
		report("writes were done twice", doubled)
		report("rows that nobody wrote", alien)
	}
	var differ []string
	for id, n := range recovered {
		if n != len(finals) {
			differ = append(differ, fmt.Sprintf("%d (on %d of %d)", id, n, len(finals)))
		}
	}
	if len(differ) > 0 {
		slices.Sort(differ)
		f.problem("%d writes in doubt are not on all servers: %s", len(differ), few(differ))
	}
	f.stat("recovered", len(recovered))
	f.stat("servers", len(finals))
	switch {
	case len(finals) < 2:
		f.undecided("only %d servers were read, want the primary and one more at least", len(finals))
	case len(acked) == 0:
		f.undecided("no write was acknowledged with its GTID")
	}
	return f.verdict()
}

// lostGTIDs looks for acknowledged transactions beyond what the server's log has of their writer.
func lostGTIDs(f *finding, final DBFinal, acked []DBWrite, gtids []GTID) {
	type source struct{ domain, server uint32 }
	last := make(map[source]uint64)
	for _, g := range final.State {
		last[source{g.Domain, g.Server}] = g.Seq
	}
	var lost []string
	for i, g := range gtids {
		if g.Seq > last[source{g.Domain, g.Server}] {
			lost = append(lost, fmt.Sprintf("%v (write %d by %s)", g, acked[i].ID, acked[i].Proxy))
		}
	}
	if len(lost) > 0 {
		f.problem("%s: %d acknowledged transactions are not in its binary log (%s): %s", final.Name, len(lost), joinGTIDs(final.State), few(lost))
	}
}

func joinGTIDs(list []GTID) string {
	texts := make([]string, 0, len(list))
	for _, g := range list {
		texts = append(texts, g.String())
	}
	return strings.Join(texts, ",")
}
