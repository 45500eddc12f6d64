package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// maxShown bounds the problems of one run that are printed; the rest is kept.
const maxShown = 8

// line is what the run was about, in short.
func (r Result) line() string {
	if found, ok := r.Stats["found out"]; ok {
		return fmt.Sprintf("%s: found out, as it must be: %.160s", r.Control, found)
	}
	text := fmt.Sprintf("%s; %v operations, %v unknown", r.Title, r.operations(), r.Stats["ops_unknown"])
	if ms, ok := r.Stats["recovery_ms"]; ok {
		text += fmt.Sprintf(", writes again %v ms after the last fault", ms)
	}
	return text
}

func (r Result) operations() int {
	sum := 0
	for name, value := range r.Stats {
		if n, ok := value.(int); ok && strings.HasPrefix(name, "ops_") {
			sum += n
		}
	}
	return sum
}

// List writes the scenarios.
func List(out io.Writer) {
	all, err := Scenarios(nil, true)
	if err != nil {
		fmt.Fprintln(out, err)
		return
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, s := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.Invariants, s.Title)
	}
	_ = table.Flush() // to a terminal
}

// WriteReport writes all results as JSON.
func WriteReport(path string, results []Result) error {
	data, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// Summarize writes the table of faults and the end result; it is true when every
// run was green.
func Summarize(out io.Writer, results []Result) bool {
	total := map[string]*FaultCount{}
	where := map[string][]string{}
	green, skipped, operations := 0, 0, 0
	for _, r := range results {
		operations += r.operations()
		switch r.Status {
		case OK:
			green++
		case Skipped:
			skipped++
		}
		for _, c := range r.Faults {
			if total[c.Kind] == nil {
				total[c.Kind] = &FaultCount{Kind: c.Kind}
			}
			total[c.Kind].Injected += c.Injected
			total[c.Kind].Bites += c.Bites
			total[c.Kind].Evidence = c.Evidence
			if !slices.Contains(where[c.Kind], r.Scenario) {
				where[c.Kind] = append(where[c.Kind], r.Scenario)
			}
		}
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "\nFAULT\tINJECTED\tBIT\tIN\tLAST EVIDENCE")
	kinds := make([]string, 0, len(total))
	for kind := range total {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		c := total[kind]
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%.70s\n", kind, c.Injected, c.Bites, strings.Join(where[kind], " "), c.Evidence)
	}
	_ = table.Flush() // to a terminal
	fmt.Fprintf(out, "\n%d of %d runs green, %d kinds of fault, %d operations\n", green, len(results), len(kinds), operations)
	if skipped > 0 {
		fmt.Fprintf(out, "%d runs were SKIPPED: they need more of the machine than this tier has\n", skipped)
	}
	again(out, results)
	return green+skipped == len(results) && green > 0
}

// again repeats what was not green: where only the end of a log is kept, it is
// all that can be read.
func again(out io.Writer, results []Result) {
	for _, r := range results {
		if r.Status == OK || r.Status == Skipped {
			continue
		}
		fmt.Fprintf(out, "%s %s, %d keepers, seed %d\n", r.Scenario, r.Status, r.Nodes, r.Seed)
		for i, p := range r.Problems {
			if i == 3 {
				fmt.Fprintf(out, "    … %d more\n", len(r.Problems)-i)
				break
			}
			first, _, _ := strings.Cut(p, "\n")
			fmt.Fprintf(out, "    %.300s\n", first)
		}
	}
}
