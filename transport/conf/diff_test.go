package conf

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestDiff(t *testing.T) {
	tests := []struct{ name, before, after, want string }{
		{name: "equal", before: "a\nb\n", after: "a\nb\n"},
		{name: "both empty"},
		{
			name: "one line changed", before: "1\n2\n3\n4\n5\n6\n7\n8\n9\n", after: "1\n2\n3\n4\nx\n6\n7\n8\n9\n",
			want: "--- old\n+++ new\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n",
		},
		{
			name: "first document", after: "a\nb\n",
			want: "--- old\n+++ new\n@@ -0,0 +1,2 @@\n+a\n+b\n",
		},
		{
			name: "last document", before: "a\n",
			want: "--- old\n+++ new\n@@ -1 +0,0 @@\n-a\n",
		},
		{
			name: "newline at the end", before: "a\nb", after: "a\nb\n",
			want: "--- old\n+++ new\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n",
		},
		{
			name: "two hunks", before: "a\n1\n2\n3\n4\n5\n6\n7\nb\n", after: "1\n2\n3\n4\n5\n6\n7\n",
			want: "--- old\n+++ new\n@@ -1,4 +1,3 @@\n-a\n 1\n 2\n 3\n@@ -6,4 +5,3 @@\n 5\n 6\n 7\n-b\n",
		},
		{
			name: "changes six lines apart are one hunk", before: "a\n1\n2\n3\n4\n5\n6\nb\n", after: "1\n2\n3\n4\n5\n6\n",
			want: "--- old\n+++ new\n@@ -1,8 +1,6 @@\n-a\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Diff([]byte(test.before), []byte(test.after)); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// patch applies a unified diff, strictly.
func patch(before, diff string) (string, error) {
	lines := splitLines([]byte(before))
	var out strings.Builder
	next := 0
	script := strings.SplitAfter(diff, "\n")
	for i := 2; i < len(script); i++ {
		line := script[i]
		var lineA, lineB int
		switch {
		case line == "":
		case strings.HasPrefix(line, "@@"):
			var rangeA, rangeB string
			if _, err := fmt.Sscanf(line, "@@ -%s +%s @@", &rangeA, &rangeB); err != nil {
				return "", err
			}
			fmt.Sscanf(rangeA, "%d", &lineA)
			fmt.Sscanf(rangeB, "%d", &lineB)
			if !strings.HasSuffix(rangeA, ",0") {
				lineA--
			}
			for next < lineA {
				out.WriteString(lines[next])
				next++
			}
		case line[0] == '\\':
		default:
			text := line[1:]
			if i+1 < len(script) && strings.HasPrefix(script[i+1], `\`) {
				text = strings.TrimSuffix(text, "\n")
			}
			if line[0] != '+' {
				if next >= len(lines) || lines[next] != text {
					return "", fmt.Errorf("line %d does not match", next+1)
				}
				next++
			}
			if line[0] != '-' {
				out.WriteString(text)
			}
		}
	}
	for ; next < len(lines); next++ {
		out.WriteString(lines[next])
	}
	return out.String(), nil
}

func TestDiffApplies(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	document := func() string {
		var b strings.Builder
		for range random.IntN(40) {
			b.WriteString(string(rune('a'+random.IntN(6))) + "\n")
		}
		s := b.String()
		if random.IntN(4) == 0 {
			s = strings.TrimSuffix(s, "\n")
		}
		return s
	}
	for range 3000 {
		before, after := document(), document()
		diff := Diff([]byte(before), []byte(after))
		got, err := patch(before, diff)
		if err != nil || got != after {
			t.Fatalf("%q to %q: got %q, %v\n%s", before, after, got, err, diff)
		}
		if (diff == "") != (before == after) {
			t.Fatalf("%q to %q: diff %q", before, after, diff)
		}
	}
}

// TestDiffIsShort holds the search to a shortest script.
func TestDiffIsShort(t *testing.T) {
	before := strings.Split("a b c a b b a", " ")
	after := strings.Split("c b a b a c", " ")
	changes := 0
	for _, e := range diffLines(before, after) {
		if e.op != ' ' {
			changes++
		}
	}
	if changes != 5 {
		t.Errorf("%d changes, the shortest script has 5", changes)
	}
}

// TestDiffIsBounded: documents without a common line end the search early.
func TestDiffIsBounded(t *testing.T) {
	var before, after strings.Builder
	for i := range MaxLines {
		fmt.Fprintf(&before, "a%d\n", i)
		fmt.Fprintf(&after, "b%d\n", i)
	}
	start := time.Now()
	got, err := patch(before.String(), Diff([]byte(before.String()), []byte(after.String())))
	if err != nil || got != after.String() {
		t.Errorf("the diff does not apply: %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}
