package load

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// Span is a stretch of time.
type Span struct{ From, To time.Time }

// Span is from the start of the load to its last answer.
func (l *Load) Span() Span {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Span{l.first, l.first}
	for _, a := range l.acks {
		if a.At.After(s.To) {
			s.To = a.At
		}
	}
	for _, f := range l.failures {
		if f.At.After(s.To) {
			s.To = f.At
		}
	}
	return s
}

// Gap is the longest time in the span without an acknowledged write.
func (l *Load) Gap(s Span) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, longest := s.From, time.Duration(0)
	for _, a := range sorted(l.acks) {
		if a.At.Before(s.From) {
			continue
		}
		if a.At.After(s.To) {
			break
		}
		longest = max(longest, a.At.Sub(last))
		last = a.At
	}
	return max(longest, s.To.Sub(last))
}

func sorted(acks []Ack) []Ack {
	out := slices.Clone(acks)
	slices.SortFunc(out, func(a, b Ack) int { return a.At.Compare(b.At) })
	return out
}

// Failures are those of the span, in order of time.
func (l *Load) Failures(s Span) []Failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Failure
	for _, f := range l.failures {
		if !f.At.Before(s.From) && !f.At.After(s.To) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b Failure) int { return a.At.Compare(b.At) })
	return out
}

// Count counts failures by kind.
func Count(failures []Failure) map[Kind]int {
	counts := map[Kind]int{InDoubt: 0, Aborted: 0, Other: 0}
	for _, f := range failures {
		counts[f.Kind]++
	}
	return counts
}

// Acknowledged is how many writes and rows were acknowledged so far.
func (l *Load) Acknowledged() (writes, rows int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.acks {
		rows += a.Parts
	}
	return len(l.acks), rows
}

// Latency is a percentile (0 to 100) of the acknowledged writes of the span,
// since each was due.
func (l *Load) Latency(s Span, percentile float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var took []time.Duration
	for _, a := range l.acks {
		if !a.At.Before(s.From) && !a.At.After(s.To) {
			took = append(took, a.Took)
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(int(float64(len(took))*percentile/100), len(took)-1)]
}

// Loss is what a server lacks or has too much of.
type Loss struct {
	Lost    []int64 // acknowledged writes that are not there, or not whole
	Doubled []int64 // writes that were done twice
	Partial []int64 // transactions of which only a part is there, acknowledged or not
}

// Examine compares a server's rows with what was acknowledged.
func (l *Load) Examine(ctx context.Context, server *sql.DB, database string) (Loss, error) {
	rows, err := server.QueryContext(ctx, "SELECT op, part, note, COUNT(*) FROM "+database+"."+Table+" GROUP BY op, part, note")
	if err != nil {
		return Loss{}, fmt.Errorf("read the rows: %w", err)
	}
	defer rows.Close()
	type found struct{ parts, most, want int }
	there := map[int64]found{}
	for rows.Next() {
		var op int64
		var part, count int
		var note string
		if err := rows.Scan(&op, &part, &note, &count); err != nil {
			return Loss{}, fmt.Errorf("read the rows: %w", err)
		}
		f := there[op]
		f.parts++
		f.most = max(f.most, count)
		if f.want = 1; note == "transaction" {
			f.want = 2
		}
		there[op] = f
	}
	if err := rows.Err(); err != nil {
		return Loss{}, fmt.Errorf("read the rows: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var loss Loss
	for _, a := range l.acks {
		if there[a.Op].parts < a.Parts {
			loss.Lost = append(loss.Lost, a.Op)
		}
	}
	for op, f := range there {
		if f.most > 1 {
			loss.Doubled = append(loss.Doubled, op)
		}
		if f.parts < f.want {
			loss.Partial = append(loss.Partial, op)
		}
	}
	for _, list := range [][]int64{loss.Lost, loss.Doubled, loss.Partial} {
		slices.SortFunc(list, cmp.Compare[int64])
	}
	return loss, nil
}
