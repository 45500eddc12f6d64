package check

import (
	"errors"
	"fmt"
	"strings"
)

// maxProblems bounds how many problems a verdict spells out, and maxProblem the bytes of each.
const (
	maxProblems = 20
	maxProblem  = 600
)

// Verdict is what a checker found.
type Verdict struct {
	OK bool `json:"ok"`
	// Unknown: the checker could not decide. OK is false then; Problems says why.
	Unknown  bool           `json:"unknown,omitempty"`
	Problems []string       `json:"problems,omitempty"` // a bounded number, each of bounded length
	Stats    map[string]any `json:"stats,omitempty"`    // what was looked at: numbers, strings and durations
}

// ErrVerdict is the base of what [Verdict.Err] returns.
var ErrVerdict = errors.New("the check failed")

// Err is nil if the verdict is OK; else it carries the problems.
func (v Verdict) Err() error {
	if v.OK {
		return nil
	}
	what := "violation"
	if v.Unknown {
		what = "undecided"
	}
	return fmt.Errorf("%w: %s: %s", ErrVerdict, what, strings.Join(v.Problems, "; "))
}

// finding gathers a verdict.
type finding struct {
	unknown  bool
	problems []string
	more     int
	stats    map[string]any
}

func newFinding() *finding { return &finding{stats: make(map[string]any)} }

// problem records a violation.
func (f *finding) problem(format string, args ...any) {
	if len(f.problems) >= maxProblems {
		f.more++
		return
	}
	text := fmt.Sprintf(format, args...)
	if len(text) > maxProblem {
		text = strings.ToValidUTF8(text[:maxProblem], "") + "…"
	}
	f.problems = append(f.problems, text)
}

// undecided records why the checker cannot decide.
func (f *finding) undecided(format string, args ...any) {
	f.unknown = true
	f.problem(format, args...)
}

func (f *finding) stat(name string, value any) { f.stats[name] = value }

func (f *finding) verdict() Verdict {
	v := Verdict{OK: len(f.problems) == 0, Unknown: f.unknown, Problems: f.problems, Stats: f.stats}
	if f.more > 0 {
		v.Problems = append(v.Problems, fmt.Sprintf("and %d more", f.more))
	}
	return v
}

// Join makes one verdict of several: OK if all are, the problems headed by their names, the stats by name. The order is
// the names'.
func Join(verdicts map[string]Verdict) Verdict {
	f := newFinding()
	if len(verdicts) == 0 {
		f.undecided("nothing was checked")
	}
	for _, name := range sorted(verdicts) {
		v := verdicts[name]
		f.unknown = f.unknown || v.Unknown
		for _, p := range v.Problems {
			f.problem("%s: %s", name, p)
		}
		if !v.OK && len(v.Problems) == 0 {
			f.problem("%s: not OK", name)
		}
		f.stat(name, v.Stats)
	}
	return f.verdict()
}

// few spells out the first of a list.
func few(list []string) string {
	const most = 10
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:most], ", ") + ", …"
}
