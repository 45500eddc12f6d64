package mysql

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// MaxGTIDs bounds the entries of a position or state that is parsed.
const MaxGTIDs = 1 << 16

// ErrBadGTID is returned for text that is not a MariaDB GTID list.
var ErrBadGTID = errors.New("not a MariaDB GTID list")

// GTID is one MariaDB global transaction id, domain-server-sequence.
type GTID struct {
	Domain uint32
	Server uint32
	Seq    uint64
}

// String gives the server's own form, 0-1-42.
func (g GTID) String() string {
	return strconv.FormatUint(uint64(g.Domain), 10) + "-" + strconv.FormatUint(uint64(g.Server), 10) + "-" + strconv.FormatUint(g.Seq, 10)
}

// ParseGTID parses one domain-server-sequence.
func ParseGTID(s string) (GTID, error) {
	d, rest, ok1 := strings.Cut(s, "-")
	n, q, ok2 := strings.Cut(rest, "-")
	domain, err1 := strconv.ParseUint(d, 10, 32)
	server, err2 := strconv.ParseUint(n, 10, 32)
	seq, err3 := strconv.ParseUint(q, 10, 64)
	if !ok1 || !ok2 || err1 != nil || err2 != nil || err3 != nil {
		return GTID{}, fmt.Errorf("%w: %q is not domain-server-sequence", ErrBadGTID, clip(s))
	}
	return GTID{uint32(domain), uint32(server), seq}, nil
}

// GTIDPos is a position, as in gtid_slave_pos: the last transaction of each domain.
type GTIDPos map[uint32]GTID

// ParseGTIDPos parses a position. Two entries of one domain are refused.
func ParseGTIDPos(s string) (GTIDPos, error) {
	pos := GTIDPos{}
	err := eachGTID(s, func(g GTID) error {
		if _, ok := pos[g.Domain]; ok {
			return fmt.Errorf("%w: domain %d comes twice", ErrBadGTID, g.Domain)
		}
		pos[g.Domain] = g
		return nil
	})
	return pos, err
}

// Covers reports whether a server at p has everything up to o. Sequence numbers
// of a domain only rise under gtid_strict_mode, whoever wrote them.
func (p GTIDPos) Covers(o GTIDPos) bool {
	for domain, g := range o {
		if have, ok := p[domain]; !ok || have.Seq < g.Seq {
			return false
		}
	}
	return true
}

// advance moves the domain of g up to it, never back.
func (p GTIDPos) advance(g GTID) {
	if have, ok := p[g.Domain]; !ok || have.Seq < g.Seq {
		p[g.Domain] = g
	}
}

// String gives the server's own form, ordered by domain.
func (p GTIDPos) String() string {
	return joinGTIDs(slices.SortedFunc(maps.Values(p), compareGTID))
}

// Origin is where transactions come from: each origin's sequence numbers rise.
type Origin struct {
	Domain, Server uint32
}

// GTIDState is a state, as in gtid_binlog_state: the last sequence number of
// every origin. A position hides an errant transaction, a state does not.
type GTIDState map[Origin]uint64

// ParseGTIDState parses a state. Two entries of one origin are refused.
func ParseGTIDState(s string) (GTIDState, error) {
	st := GTIDState{}
	err := eachGTID(s, func(g GTID) error {
		o := Origin{g.Domain, g.Server}
		if _, ok := st[o]; ok {
			return fmt.Errorf("%w: origin %d-%d comes twice", ErrBadGTID, g.Domain, g.Server)
		}
		st[o] = g.Seq
		return nil
	})
	return st, err
}

// Contains reports whether everything of o is in s.
func (s GTIDState) Contains(o GTIDState) bool { return len(Errant(o, s)) == 0 }

// Merge gives the state of one who has both.
func (s GTIDState) Merge(o GTIDState) GTIDState {
	m := maps.Clone(s)
	if m == nil {
		m = GTIDState{}
	}
	for origin, seq := range o {
		m[origin] = max(m[origin], seq)
	}
	return m
}

// String gives the server's own form, ordered by domain and server.
func (s GTIDState) String() string { return joinGTIDs(s.list()) }

func (s GTIDState) list() []GTID {
	list := make([]GTID, 0, len(s))
	for o, seq := range s {
		list = append(list, GTID{o.Domain, o.Server, seq})
	}
	slices.SortFunc(list, compareGTID)
	return list
}

// Errant lists what candidate has and source lacks, by origin: the last
// transaction of each that is too many. Read the candidate's state first and
// the source's after it, or a transaction that arrives between the two readings
// counts as errant.
func Errant(candidate, source GTIDState) []GTID {
	var errant []GTID
	for _, g := range candidate.list() {
		if have, ok := source[Origin{g.Domain, g.Server}]; !ok || have < g.Seq {
			errant = append(errant, g)
		}
	}
	return errant
}

// eachGTID calls f for each entry of a comma separated list.
func eachGTID(s string, f func(GTID) error) error {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	n := 0
	for item := range strings.SplitSeq(s, ",") {
		if n++; n > MaxGTIDs {
			return fmt.Errorf("%w: more than %d entries", ErrBadGTID, MaxGTIDs)
		}
		g, err := ParseGTID(strings.TrimSpace(item))
		if err != nil {
			return err
		}
		if err := f(g); err != nil {
			return err
		}
	}
	return nil
}

func compareGTID(a, b GTID) int {
	return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Seq, b.Seq))
}

func joinGTIDs(list []GTID) string {
	var b strings.Builder
	for i, g := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(g.String())
	}
	return b.String()
}

// clip keeps foreign text in a message short.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
