package conf

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrInvalid is what every error of [Parse] is, for errors.Is.
var ErrInvalid = errors.New("invalid configuration")

// Issue is one finding about a document: an error, or a warning.
type Issue struct {
	// Line and Column count from 1; Column counts characters.
	Line, Column int
	// Path is the key's path, such as host_groups[0].write; empty for the
	// document as a whole.
	Path string
	// Msg says what is wrong and what to do. It never holds a secret.
	Msg string
}

// String is the issue in one line: "line 3:5: host_groups[0].write: …".
func (i Issue) String() string {
	if i.Path == "" {
		return fmt.Sprintf("line %d:%d: %s", i.Line, i.Column, i.Msg)
	}
	return fmt.Sprintf("line %d:%d: %s: %s", i.Line, i.Column, i.Path, i.Msg)
}

// Errors is everything that is wrong with a document, in the order of lines.
type Errors struct {
	// Issues holds 1 to [MaxErrors] errors.
	Issues []Issue
	// More is how many errors were found beyond those in Issues.
	More int
}

// Error is one line for each issue.
func (e *Errors) Error() string {
	var b strings.Builder
	for n, issue := range e.Issues {
		if n > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(issue.String())
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\nand %d more errors", e.More)
	}
	return b.String()
}

// Is reports whether target is [ErrInvalid].
func (e *Errors) Is(target error) bool { return target == ErrInvalid }

// position is a place in the document, from 1.
type position struct{ line, column int }

// findings collects errors and warnings of one document.
type findings struct {
	errors   []Issue
	dropped  int
	warnings []Issue
}

func (f *findings) errorf(at position, path, format string, args ...any) {
	if len(f.errors) >= maxCollected {
		f.dropped++
		return
	}
	f.errors = append(f.errors, Issue{at.line, at.column, path, fmt.Sprintf(format, args...)})
}

func (f *findings) warnf(at position, path, format string, args ...any) {
	f.warnings = append(f.warnings, Issue{at.line, at.column, path, fmt.Sprintf(format, args...)})
}

// err is nil, or an *Errors of what was collected.
func (f *findings) err() error {
	if len(f.errors) == 0 {
		return nil
	}
	sortIssues(f.errors)
	shown := f.errors[:min(len(f.errors), MaxErrors)]
	return &Errors{Issues: shown, More: len(f.errors) - len(shown) + f.dropped}
}

func sortIssues(issues []Issue) {
	slices.SortStableFunc(issues, func(a, b Issue) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
