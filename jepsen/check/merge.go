package check

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
)

// Errors of Merge.
var (
	// ErrDiverged: no behaviour of Raft explains these logs: entries of one index and term differ, or one that a
	// snapshot contains is not in the log of a keeper that could be elected. It is a violation of I3.
	ErrDiverged = errors.New("the logs contradict each other")
	// ErrTooFew: the logs of less than a majority of the voters.
	ErrTooFew = errors.New("too few logs to tell what was committed")
)

// Merge is what the group agreed on, as far as the logs of its stopped keepers tell. No keeper stores its commit index,
// so the question is which entries the next leader could have:
//
//   - A log is at least as up to date as another if its last term is higher or, that being equal, its last index is not
//     lower. A voter's log is electable if those of a majority of the voters are not more up to date; a voter whose log
//     is not given counts as not more up to date.
//   - An entry is decided if every electable log has it. All committed entries are (Raft's leader completeness), and no
//     decided one can ever be replaced. Decided entries become Entries.
//   - Entries that only some electable log has may or may not survive: those of the most up to date one become Tail.
//     A run that ends healed, with all keepers caught up, leaves none: its logs are all electable and all the same.
//   - Entries that no electable log has are lost for good; none was ever committed. They are left out.
//
// A majority alone decides nothing: entries of an older term can be on a majority and still be replaced (the Raft
// paper's figure 8). With a voter's log missing, "decided" is said of the logs given.
//
// The voters are those of the newest configuration in the most up to date log. Logs of others, and what was compacted
// in one log and is in another, extend the result downwards where they agree with it. The snapshots are those of all
// logs.
func Merge(logs ...*RaftLog) (*RaftLog, error) {
	if len(logs) == 0 {
		return nil, fmt.Errorf("merge logs: %w: none", ErrTooFew)
	}
	for i, a := range logs {
		for _, b := range logs[i+1:] {
			if err := matching(a, b); err != nil {
				return nil, fmt.Errorf("merge logs: %w", err)
			}
		}
	}
	electable, err := electableLogs(logs)
	if err != nil {
		return nil, fmt.Errorf("merge logs: %w", err)
	}
	best := slices.MaxFunc(electable, upToDate)
	decided := commonEnd(best, electable)
	m := &RaftLog{Servers: best.Servers}
	for _, e := range best.Entries {
		if e.Index <= decided {
			m.Entries = append(m.Entries, e)
		} else {
			m.Tail = append(m.Tail, e)
		}
	}
	names := make([]string, 0, len(logs))
	for _, l := range logs {
		names = append(names, l.Name)
		m.Term = max(m.Term, l.Term)
		m.Snapshots = append(m.Snapshots, l.Snapshots...)
		m.Damaged = append(m.Damaged, l.Damaged...)
		for _, s := range l.Snapshots {
			if term, known := termAt(best, s.Index); s.Index > decided || known && term != s.Term {
				return nil, fmt.Errorf("merge logs: %w: %s has a snapshot of index %d, term %d, which %s, who can be elected, does not have",
					ErrDiverged, l.Name, s.Index, s.Term, lacking(electable, s))
			}
		}
	}
	m.Name = strings.Join(names, "+")
	slices.SortStableFunc(m.Snapshots, func(a, b Snapshot) int { return cmp.Compare(a.Index, b.Index) })
	m.extend(logs)
	return m, nil
}

// matching checks Raft's log matching: where two logs have the same index and term, they have the same entry, and so
// everywhere before.
func matching(a, b *RaftLog) error {
	var agreed *Entry // in a
	for i := len(a.Entries) - 1; i >= 0; i-- {
		x, y := &a.Entries[i], b.Entry(a.Entries[i].Index)
		if y == nil {
			continue
		}
		switch {
		case x.Term == y.Term && !x.same(*y):
			return fmt.Errorf("%w: %v is not the same in %s and in %s", ErrDiverged, *x, a.Name, b.Name)
		case x.Term == y.Term && agreed == nil:
			agreed = x
		case x.Term != y.Term && agreed != nil:
			return fmt.Errorf("%w: %s and %s agree on %v, but before it %s has %v and %s has %v",
				ErrDiverged, a.Name, b.Name, *agreed, a.Name, *x, b.Name, *y)
		}
	}
	return nil
}

// electableLogs is the logs whose keepers could win an election.
func electableLogs(logs []*RaftLog) ([]*RaftLog, error) {
	voters, number := votersOf(logs)
	majority := number/2 + 1
	if len(voters) < majority {
		return nil, fmt.Errorf("%w: of %d of %d voters", ErrTooFew, len(voters), number)
	}
	missing := number - len(voters)
	var electable []*RaftLog
	for _, c := range voters {
		votes := missing
		for _, v := range voters {
			if upToDate(v, c) <= 0 {
				votes++
			}
		}
		if votes >= majority {
			electable = append(electable, c)
		}
	}
	return electable, nil
}

// votersOf is the logs of voters, and how many voters there are. Without a configuration, or with logs of nobody in
// particular, each log is a voter's.
func votersOf(logs []*RaftLog) (voters []*RaftLog, number int) {
	newest := slices.MaxFunc(logs, upToDate)
	named := slices.ContainsFunc(logs, func(l *RaftLog) bool { return l.Member != "" })
	if len(newest.Servers) == 0 || !named {
		return logs, len(logs)
	}
	for _, s := range newest.Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		number++
		if i := slices.IndexFunc(logs, func(l *RaftLog) bool { return l.Member == string(s.ID) }); i >= 0 {
			voters = append(voters, logs[i])
		}
	}
	return voters, number
}

// upToDate compares logs as a voter does.
func upToDate(a, b *RaftLog) int {
	ai, at := a.Last()
	bi, bt := b.Last()
	return cmp.Or(cmp.Compare(at, bt), cmp.Compare(ai, bi))
}

// commonEnd is the last index up to which best and the other electable logs are the same.
func commonEnd(best *RaftLog, electable []*RaftLog) uint64 {
	end, _ := best.Last()
	for _, l := range electable {
		last, _ := l.Last()
		for end = min(end, last); end > 0; end-- {
			a, known := termAt(best, end)
			b, also := termAt(l, end)
			if a == b && known == also || !known || !also { // compacted: committed, in both
				break
			}
		}
	}
	return end
}

// termAt is the term at an index; not known when it was compacted. The index is not above the log's last.
func termAt(l *RaftLog, index uint64) (term uint64, known bool) {
	if e := l.Entry(index); e != nil {
		return e.Term, true
	}
	for _, s := range l.Snapshots {
		if s.Index == index {
			return s.Term, true
		}
	}
	return 0, false
}

// lacking names an electable log without the snapshot's last entry.
func lacking(electable []*RaftLog, s Snapshot) string {
	for _, l := range electable {
		last, _ := l.Last()
		if term, known := termAt(l, s.Index); last < s.Index || known && term != s.Term {
			return l.Name
		}
	}
	return "one"
}

// extend adds what was compacted in the log but is in another, as far as that one is known to be of the same branch.
func (l *RaftLog) extend(logs []*RaftLog) {
	for {
		low := l.First()
		if low == 0 {
			if len(l.Snapshots) == 0 {
				return
			}
			low = l.Snapshots[len(l.Snapshots)-1].Index + 1
		}
		before := len(l.Entries)
		for _, m := range logs {
			below := m.Entry(low - 1)
			if below == nil || !l.joins(m, low, below) {
				continue
			}
			part := m.Entries[:low-m.First()]
			l.Entries = append(slices.Clone(part), l.Entries...)
			break
		}
		if len(l.Entries) == before {
			return
		}
	}
}

// joins reports whether below, m's entry before low, was committed: m agrees with the log at low, or with a snapshot.
func (l *RaftLog) joins(m *RaftLog, low uint64, below *Entry) bool {
	if a, b := l.Entry(low), m.Entry(low); a != nil && b != nil && a.Term == b.Term {
		return true
	}
	return slices.ContainsFunc(l.Snapshots, func(s Snapshot) bool { return s.Index == low-1 && s.Term == below.Term })
}
