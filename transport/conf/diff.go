package conf

import (
	"fmt"
	"strings"
)

const (
	diffContext = 3
	// maxEdits bounds the search for a short diff; it takes memory for its
	// square. Documents that differ more are shown as replaced where they differ.
	maxEdits = 1000
)

// Diff is a unified diff of two documents, "" if they are equal. Time and
// memory are bounded for documents of any content up to [MaxContent].
func Diff(before, after []byte) string {
	a, b := splitLines(before), splitLines(after)
	edits := diffLines(a, b)
	var out strings.Builder
	for _, h := range hunks(edits) {
		if out.Len() == 0 {
			out.WriteString("--- old\n+++ new\n")
		}
		h.write(&out, edits)
	}
	return out.String()
}

// splitLines keeps each line's newline, so that a last line without one differs.
func splitLines(content []byte) []string {
	lines := strings.SplitAfter(string(content), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// edit is a line and what becomes of it: kept ' ', removed '-', added '+'.
type edit struct {
	op   byte
	line string
}

func diffLines(a, b []string) []edit {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	edits := make([]edit, 0, len(a)+len(b))
	edits = appendEdits(edits, ' ', a[:head])
	edits = appendMiddle(edits, a[head:len(a)-tail], b[head:len(b)-tail])
	return appendEdits(edits, ' ', a[len(a)-tail:])
}

func appendEdits(edits []edit, op byte, lines []string) []edit {
	for _, line := range lines {
		edits = append(edits, edit{op, line})
	}
	return edits
}

// appendMiddle is Myers' O(ND) algorithm: trace[d] has, for each diagonal, the
// furthest x that d edits reach.
func appendMiddle(edits []edit, a, b []string) []edit {
	limit := min(len(a)+len(b), maxEdits)
	furthest := make([]int32, 2*limit+3)
	origin := limit + 1
	var trace [][]int32
	for d := 0; d <= limit; d++ {
		// Step d reads diagonals -d-1 … d+1 of what step d-1 left.
		trace = append(trace, append([]int32(nil), furthest[origin-d-1:origin+d+2]...))
		for k := -d; k <= d; k += 2 {
			x := int(furthest[origin+k-1]) + 1
			if k == -d || k != d && furthest[origin+k-1] < furthest[origin+k+1] {
				x = int(furthest[origin+k+1])
			}
			for x < len(a) && x-k < len(b) && a[x] == b[x-k] {
				x++
			}
			furthest[origin+k] = int32(x)
			if x >= len(a) && x-k >= len(b) {
				return append(edits, backtrack(trace, a, b)...)
			}
		}
	}
	return appendEdits(appendEdits(edits, '-', a), '+', b)
}

// backtrack walks from the end of both texts to their start.
func backtrack(trace [][]int32, a, b []string) []edit {
	var reversed []edit
	x, y := len(a), len(b)
	for d := len(trace) - 1; d >= 0; d-- {
		at := func(k int) int { return int(trace[d][k+d+1]) }
		k := x - y
		from := k - 1
		if k == -d || k != d && at(k-1) < at(k+1) {
			from = k + 1
		}
		fromX := at(from)
		fromY := fromX - from
		if d == 0 {
			fromX, fromY = 0, 0
		}
		for x > fromX && y > fromY {
			x, y = x-1, y-1
			reversed = append(reversed, edit{' ', a[x]})
		}
		switch {
		case x > fromX:
			x--
			reversed = append(reversed, edit{'-', a[x]})
		case y > fromY:
			y--
			reversed = append(reversed, edit{'+', b[y]})
		}
	}
	edits := make([]edit, 0, len(reversed))
	for i := len(reversed) - 1; i >= 0; i-- {
		edits = append(edits, reversed[i])
	}
	return edits
}

// hunk is a run of edits, first to end, with changes no further apart than
// their context reaches; it begins at lineA and lineB, from 0.
type hunk struct{ first, end, lineA, lineB int }

func hunks(edits []edit) []hunk {
	var found []hunk
	lineA, lineB, changed := 0, 0, -1
	for i, e := range edits {
		if e.op != ' ' {
			if changed < 0 || i-changed > 2*diffContext+1 {
				lead := min(diffContext, i)
				if changed >= 0 {
					lead = diffContext
				}
				found = append(found, hunk{first: i - lead, lineA: lineA - lead, lineB: lineB - lead})
			}
			changed = i
			found[len(found)-1].end = min(i+1+diffContext, len(edits))
		}
		if e.op != '+' {
			lineA++
		}
		if e.op != '-' {
			lineB++
		}
	}
	return found
}

func (h hunk) write(out *strings.Builder, edits []edit) {
	lines := edits[h.first:h.end]
	countA, countB := 0, 0
	for _, e := range lines {
		if e.op != '+' {
			countA++
		}
		if e.op != '-' {
			countB++
		}
	}
	fmt.Fprintf(out, "@@ -%s +%s @@\n", hunkRange(h.lineA, countA), hunkRange(h.lineB, countB))
	for _, e := range lines {
		out.WriteByte(e.op)
		out.WriteString(e.line)
		if !strings.HasSuffix(e.line, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

// hunkRange is "first,count" as diff writes it: from 1, and the line before if
// there are none.
func hunkRange(line, count int) string {
	switch count {
	case 0:
		return fmt.Sprintf("%d,0", line)
	case 1:
		return fmt.Sprint(line + 1)
	}
	return fmt.Sprintf("%d,%d", line+1, count)
}
