package ctl

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// gap is what stands between two columns.
const gap = "  "

// style is how a cell is shown on a terminal.
type style string

// The styles; a writer that is no terminal gets plain text.
const (
	plain style = ""
	good  style = "\x1b[32m"
	bad   style = "\x1b[31m"
	weak  style = "\x1b[2m"
	reset       = "\x1b[0m"
)

// cell is one value of a table.
type cell struct {
	text  string
	style style
}

// text writes for people: lines, fields and aligned tables. Whatever comes from
// outside is made printable, so that no name can play with the terminal. The
// first error of the writer is kept for flush.
type text struct {
	w     *bufio.Writer
	color bool
}

func newText(w io.Writer, color bool) *text {
	return &text{w: bufio.NewWriter(w), color: color}
}

func (t *text) flush() error { return t.w.Flush() }

// Line writes one line.
func (t *text) Line(format string, args ...any) {
	t.w.WriteString(printable(fmt.Sprintf(format, args...), false) + "\n")
}

// Marked writes one line in a style.
func (t *text) Marked(s style, format string, args ...any) {
	t.w.WriteString(t.paint(cell{printable(fmt.Sprintf(format, args...), false), s}) + "\n")
}

// Raw writes text of several lines as it is, but for control characters.
func (t *text) Raw(s string) { t.w.WriteString(printable(s, true)) }

// Title starts a part.
func (t *text) Title(s string) { t.w.WriteString("\n" + s + "\n") }

// Fields writes "name  value" lines with aligned values; pairs whose value is
// empty are left out.
func (t *text) Fields(pairs ...string) {
	width := 0
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			width = max(width, len(pairs[i]))
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			t.w.WriteString(pad(pairs[i], width) + gap + printable(pairs[i+1], false) + "\n")
		}
	}
}

// Table writes rows under a header, aligned. A cell is a string, a cell, or
// anything that fmt prints; an empty one is shown as "-".
func (t *text) Table(header []string, rows [][]any) {
	widths := make([]int, len(header))
	for i, h := range header {
		widths[i] = utf8.RuneCountInString(h)
	}
	cells := make([][]cell, len(rows))
	for r, row := range rows {
		cells[r] = make([]cell, len(header))
		for i := range header {
			c := cellOf(row[i])
			cells[r][i] = c
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	heads := make([]cell, len(header))
	for i, h := range header {
		heads[i] = cell{text: h, style: weak}
	}
	for _, row := range append([][]cell{heads}, cells...) {
		var line strings.Builder
		for i, c := range row {
			if i > 0 {
				line.WriteString(gap)
			}
			line.WriteString(t.paint(c))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)))
			}
		}
		t.w.WriteString(line.String() + "\n")
	}
}

// cellOf makes a cell of a value.
func cellOf(v any) cell {
	var c cell
	switch v := v.(type) {
	case cell:
		c = v
	case string:
		c.text = v
	default:
		c.text = fmt.Sprint(v)
	}
	if c.text = printable(c.text, false); c.text == "" {
		c.text = "-"
	}
	return c
}

// paint adds a cell's style on a terminal.
func (t *text) paint(c cell) string {
	if !t.color || c.style == plain {
		return c.text
	}
	return string(c.style) + c.text + reset
}

// pad fills s with spaces to a width.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// printable replaces what a terminal would obey, or could not show, by its
// escape. Line breaks and tabs are left when lines says so.
func printable(s string, lines bool) string {
	clean := true
	for i, r := range s {
		if !shown(r, lines) || (r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD")) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, "\\x%02x", s[i])
		case shown(r, lines):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

func shown(r rune, lines bool) bool {
	return unicode.IsPrint(r) || (lines && (r == '\n' || r == '\t'))
}

// yesNo is a bool in words.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// clock is a time as operators compare it: UTC, to the millisecond.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}

// millis is a duration of so many milliseconds, in words.
func millis(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case ms < 60_000:
		return fmt.Sprintf("%.2f s", ms/1000)
	}
	return time.Duration(ms * float64(time.Millisecond)).Round(time.Second).String()
}

// age is how long ago something was, "-" for never.
func age(ms int64) string {
	if ms < 0 {
		return ""
	}
	return millis(float64(ms)) + " ago"
}

// bytesText is a size in binary units.
func bytesText(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}
