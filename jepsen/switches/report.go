package switches

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Row is one switch. Times are in milliseconds.
type Row struct {
	ID       string             `json:"id"`
	State    string             `json:"state"`
	Error    string             `json:"error,omitempty"`
	Blackout float64            `json:"blackout_ms"` // longest pause between two acknowledged writes
	Steady   float64            `json:"steady_gap_ms"`
	Record   float64            `json:"record_blackout_ms"`
	Errors   int                `json:"errors"`
	Failures []string           `json:"failures,omitempty"`
	Steps    map[string]float64 `json:"steps_ms"` // of each state, with the entry that ends it
}

// Rows are the switches of one build.
type Rows struct {
	Build        string            `json:"build"`
	Blackout     Spread            `json:"blackout_ms"`
	Record       Spread            `json:"record_blackout_ms"`
	Steady       Spread            `json:"steady_gap_ms"`
	Steps        map[string]Spread `json:"steps_ms"`
	Errors       int               `json:"errors"`
	NotDone      int               `json:"not_done"`
	Acknowledged int               `json:"writes_acknowledged"`
	Lost         int               `json:"writes_lost"`    // on the server that lacks most
	Doubled      int               `json:"writes_doubled"` // on the server that has most
	Long         *Row              `json:"long_transaction,omitempty"`
	Switches     []Row             `json:"switches"`
}

// Report is what was measured.
type Report struct {
	Builds []*Rows `json:"builds"`
}

// Spread is a distribution.
type Spread struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	Max float64 `json:"max"`
}

func spread(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	values = slices.Sorted(slices.Values(values))
	at := func(percent int) float64 { return values[(len(values)-1)*percent/100] }
	return Spread{at(50), at(95), at(100)}
}

// states are those of the blackout, in their order.
var states = []string{"stopping", "fencing", "catching-up", "promoting", "switching", "recovering"}

// sum adds up the rows.
func (r *Rows) sum() {
	var blackout, record, steady []float64
	steps := map[string][]float64{}
	for _, s := range r.Switches {
		r.Errors += s.Errors
		if s.State != "done" {
			r.NotDone++
			continue
		}
		blackout, record, steady = append(blackout, s.Blackout), append(record, s.Record), append(steady, s.Steady)
		for state, took := range s.Steps {
			steps[state] = append(steps[state], took)
		}
	}
	r.Blackout, r.Record, r.Steady, r.Steps = spread(blackout), spread(record), spread(steady), map[string]Spread{}
	for state, took := range steps {
		r.Steps[state] = spread(took)
	}
}

// steps is the time of each state of the blackout, on a line.
func (r *Row) steps() string {
	var b strings.Builder
	for _, state := range states {
		fmt.Fprintf(&b, " %s %.1f", state, r.Steps[state])
	}
	return b.String()
}

// Print is the report for people.
func (r *Report) Print(w io.Writer) {
	for _, b := range r.Builds {
		fmt.Fprintf(w, "\nbuild %s: %d planned switches, %d not done, %d client errors; %d writes acknowledged, %d lost, %d doubled\n",
			b.Build, len(b.Switches), b.NotDone, b.Errors, b.Acknowledged, b.Lost, b.Doubled)
		line := func(what string, s Spread) { fmt.Fprintf(w, "  %-26s %8.1f %8.1f %8.1f\n", what, s.P50, s.P95, s.Max) }
		fmt.Fprintf(w, "  %-26s %8s %8s %8s   (ms)\n", "", "p50", "p95", "max")
		line("clients' pause", b.Blackout)
		line("  normally", b.Steady)
		line("record's blackout", b.Record)
		for _, state := range states {
			line("  "+state, b.Steps[state])
		}
		if l := b.Long; l != nil {
			fmt.Fprintf(w, "  transaction longer than drain_timeout: %s, pause %.1f ms, %d errors\n", l.State, l.Blackout, l.Errors)
		}
	}
	if len(r.Builds) == 2 {
		a, b := r.Builds[0], r.Builds[1]
		fmt.Fprintf(w, "\n%s : %s  clients' pause p50 %.2f, p95 %.2f; record p50 %.2f\n", b.Build, a.Build,
			ratio(b.Blackout.P50, a.Blackout.P50), ratio(b.Blackout.P95, a.Blackout.P95), ratio(b.Record.P50, a.Record.P50))
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// verdict is nil when nobody noticed anything.
func (r *Report) verdict() error {
	for _, b := range r.Builds {
		if b.Errors+b.NotDone+b.Lost+b.Doubled > 0 || b.Long != nil && (b.Long.Errors > 0 || b.Long.State != "rolled-back") {
			return ErrNoticed
		}
	}
	return nil
}
