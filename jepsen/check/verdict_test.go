package check

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// wantOK is for good records.
func wantOK(t *testing.T, v Verdict) {
	t.Helper()
	if !v.OK || v.Unknown || len(v.Problems) > 0 || v.Err() != nil {
		t.Errorf("verdict %+v, want OK", v)
	}
}

// wantProblem is for bad records: a violation that says want.
func wantProblem(t *testing.T, v Verdict, want string) {
	t.Helper()
	if v.OK || v.Unknown || !strings.Contains(strings.Join(v.Problems, "\n"), want) || !errors.Is(v.Err(), ErrVerdict) {
		t.Errorf("verdict %+v, want a violation with %q", v, want)
	}
}

// wantUndecided is for records that decide nothing.
func wantUndecided(t *testing.T, v Verdict, want string) {
	t.Helper()
	if v.OK || !v.Unknown || !strings.Contains(strings.Join(v.Problems, "\n"), want) || !errors.Is(v.Err(), ErrVerdict) {
		t.Errorf("verdict %+v, want undecided with %q", v, want)
	}
}

// wantVerdict wants OK for an empty problem, an undecided verdict for one that begins with "?", else a violation.
func wantVerdict(t *testing.T, v Verdict, want string) {
	t.Helper()
	switch text, undecided := strings.CutPrefix(want, "?"); {
	case want == "":
		wantOK(t, v)
	case undecided:
		wantUndecided(t, v, text)
	default:
		wantProblem(t, v, want)
	}
}

func TestVerdictIsBounded(t *testing.T) {
	f := newFinding()
	for i := range 1000 {
		f.problem("%d %s", i, strings.Repeat("ä", maxProblem))
	}
	v := f.verdict()
	if v.OK || len(v.Problems) != maxProblems+1 || v.Problems[maxProblems] != fmt.Sprintf("and %d more", 1000-maxProblems) {
		t.Errorf("%d problems, the last %q", len(v.Problems), v.Problems[len(v.Problems)-1])
	}
	for _, p := range v.Problems {
		if len(p) > maxProblem+len("…") || strings.Contains(p, "\ufffd") {
			t.Errorf("a problem of %d bytes", len(p))
		}
	}
}

func TestUndecidedBeyondTheBound(t *testing.T) {
	f := newFinding()
	for range maxProblems {
		f.problem("x")
	}
	f.undecided("y")
	if v := f.verdict(); v.OK || !v.Unknown {
		t.Errorf("verdict %+v, want undecided", v)
	}
}

func TestJoin(t *testing.T) {
	bad, lost := newFinding(), newFinding()
	bad.problem("broken")
	lost.undecided("no file")
	ok := newFinding().verdict()
	wantOK(t, Join(map[string]Verdict{"a": ok, "b": ok}))
	wantProblem(t, Join(map[string]Verdict{"a": ok, "b": bad.verdict()}), "b: broken")
	wantUndecided(t, Join(map[string]Verdict{"a": lost.verdict(), "b": bad.verdict()}), "a: no file")
	wantUndecided(t, Join(nil), "nothing was checked")
	wantProblem(t, Join(map[string]Verdict{"a": {}}), "a: not OK")
}
