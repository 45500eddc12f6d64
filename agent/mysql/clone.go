package mysql

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// inherit gives a server that was cloned what its source knows of the past. A clone starts with an empty binary log: it
// has a position (gtid_slave_pos), but not who wrote what is before it. As the source of others it would seem to lack
// all that, and each of them would look errant. Nothing is done to a server that has logged anything.
func (s *Server) inherit(ctx context.Context, c *session, src Source) error {
	_, binlogState, slavePos, err := c.gtids(ctx)
	if err != nil || binlogState != "" || slavePos == "" || src.GTIDState == "" {
		return err
	}
	source, err := ParseGTIDState(src.GTIDState)
	if err != nil {
		return fmt.Errorf("state of the source: %w", err)
	}
	pos, err := ParseGTIDPos(slavePos)
	if err != nil {
		return err
	}
	if err := c.exec(ctx, "take over the history of the source", "SET GLOBAL gtid_binlog_state='"+joinGTIDs(history(source, pos))+"'"); err != nil {
		return err
	}
	s.log.Info("a clone: it takes over the history of its source", "position", slavePos)
	return nil
}

// history is the state of a server that has replicated a source up to pos: sequence numbers of a domain only rise under
// gtid_strict_mode, whoever wrote them. The last of a domain comes last, as SET GLOBAL gtid_binlog_state wants it.
func history(source GTIDState, pos GTIDPos) []GTID {
	var list []GTID
	for _, g := range source.list() {
		if p, ok := pos[g.Domain]; ok && g.Seq < p.Seq && g.Server != p.Server {
			list = append(list, g)
		}
	}
	for _, p := range pos {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b GTID) int { return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Seq, b.Seq)) })
	return list
}

// Forgotten lists what a candidate does not know to have, although it has later transactions of the same domain: it is a
// clone without its source's history. Followers would look errant to it.
func Forgotten(candidate, source GTIDState) []GTID {
	last := map[uint32]uint64{}
	for origin, seq := range candidate {
		last[origin.Domain] = max(last[origin.Domain], seq)
	}
	return slices.DeleteFunc(Errant(source, candidate), func(g GTID) bool { return g.Seq >= last[g.Domain] })
}
