package conf

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSourceRefused(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"empty", "", "line 1:1: the document is empty"},
		{"NUL", "a: b\nc: \x00d\n", "line 2:4: a NUL byte"},
		{"not UTF-8", "a: \xff\n", "line 1:4: a byte that is not UTF-8"},
		{"tab", "a:\n\tb: c\n", "line 2:1: a tab"},
		{"tab after wide characters", "é: ü\tx\n", "line 1:5: a tab"},
		{"control", "a: \x1b[31m\n", "line 1:4: a control character"},
		{"C1 control", "a: \u0085\n", "line 1:4: a control character"},
		{"line separator", "a: \u2028\n", "line 1:4: a control character"},
		{"lone carriage return", "a: b\rc: d\n", "line 1:5: a carriage return"},
		{"UTF-16", "\xff\xfeb\x00a\x00", "line 1:1: a byte that is not UTF-8"},
		{"too large", strings.Repeat("#", MaxContent+1), "line 1:1: the document has 393217 bytes"},
		{"too many lines", strings.Repeat("#\n", MaxLines+1), "line 20001:1: more than 20000 lines"},
		{"long line", "a: b\n" + strings.Repeat("x", MaxLine+1), "line 2:1: the line has 4097 bytes"},
		{"too large as JSON", strings.Repeat("#"+strings.Repeat("<", 99)+"\n", 900), "line 1:1: the document takes 537300 bytes as a JSON string"},
		{"too large as JSON by quotes", strings.Repeat("#"+strings.Repeat(`"`, 99)+"\n", 3000), "line 1:1: the document takes 603000 bytes"},
		{"tabs are refused once a line", strings.Repeat("\t", 100), "line 1:1: a tab"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.content), Options{})
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one error:\n%v", err)
			}
		})
	}
}

func TestSourceAccepted(t *testing.T) {
	tests := []struct{ name, content string }{
		{"plain", minimal},
		{"byte order mark", "\ufeff" + minimal},
		{"CRLF", strings.ReplaceAll(minimal, "\n", "\r\n")},
		{"no newline at the end", strings.TrimSuffix(minimal, "\n")},
		{"document marks", "# head\n---\n" + minimal + "...\n# tail\n"},
		{"comments", "# a\n\n" + strings.ReplaceAll(minimal, "\n", " # é <>&\n")},
		{"folded list", strings.Replace(minimal, `{name: g, write: "10.0.0.1:3306,10.0.0.2:3306"}`, "name: g\n  write: 10.0.0.1:3306,\n     10.0.0.2:3306", 1)},
		{"quoted keys", strings.Replace(minimal, "basic:", `"basic":`, 1)},
	}
	want := mustParse(t, minimal)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := Parse([]byte(test.content), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if c.Name != want.Name || len(c.HostGroups) != 1 || len(c.HostGroups[0].Write) != 2 || len(c.Users) != 1 {
				t.Errorf("got %+v", c)
			}
			if c.Digest() != Digest([]byte(test.content)) {
				t.Error("the digest is not that of the bytes")
			}
		})
	}
}

// TestErrorLinesWithCRLF: line ends of another system do not shift errors.
func TestErrorLinesWithCRLF(t *testing.T) {
	_, unix := Parse([]byte(minimal+"\nx: 1\n"), Options{})
	_, dos := Parse([]byte("\ufeff"+strings.ReplaceAll(minimal+"\nx: 1\n", "\n", "\r\n")), Options{})
	if unix == nil || dos == nil || unix.Error() != dos.Error() {
		t.Errorf("got\n%v\n%v", unix, dos)
	}
}

func TestEncodedLen(t *testing.T) {
	for _, s := range []string{"", "abc", "a\nb\r\n\t", `"\`, "<>&", "é€😀", "\x01\x7f", example(t)} {
		encoded, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := encodedLen([]byte(s)), len(encoded)-2; got != want {
			t.Errorf("%.20q: got %d, want %d", s, got, want)
		}
	}
}

// TestLargestFleet: the limits on counts fit in the limits on bytes and lines.
func TestLargestFleet(t *testing.T) {
	var b strings.Builder
	b.WriteString("basic: {config_name: c, user: u, password: '${env:P}'}\nhost_groups:\n")
	for g := range MaxHostGroups {
		b.WriteString("  - name: group" + strings.Repeat("x", g%10) + itoa(g) + "\n    write: ")
		for i := range 8 {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString("10." + itoa(g) + ".0." + itoa(i) + ":3306")
		}
		b.WriteString("\n    read: 10." + itoa(g) + ".1.1:3306@5\n    switch: {frequency: 30}\n")
	}
	b.WriteString("users:\n")
	for u := range MaxUsers {
		b.WriteString("  - name: user" + itoa(u) + "\n    password: ${file:/etc/zero/user" + itoa(u) + ".pw}\n    host_group: group" + itoa(0) + "\n    max_connections: 100\n")
	}
	start := time.Now()
	c := mustParse(t, b.String())
	if len(c.HostGroups) != MaxHostGroups || len(c.Users) != MaxUsers {
		t.Errorf("%d groups, %d users", len(c.HostGroups), len(c.Users))
	}
	t.Logf("%d bytes in %v", b.Len(), time.Since(start))
}

func itoa(n int) string {
	text, _ := json.Marshal(n)
	return string(text)
}

// TestHostile: documents made to be slow or deep are refused, or read, in
// bounded time. The bound is generous; without the guards these take minutes,
// or overflow the stack.
func TestHostile(t *testing.T) {
	fill := func(s string) string { return strings.Repeat(s, MaxContent/len(s)) }
	lines := func(s string) string {
		n := min(MaxLine/len(s), MaxContent/len(s))
		line := strings.Repeat(s, n) + "\n"
		return strings.Repeat(line, MaxContent/len(line))
	}
	tests := map[string]string{
		"brackets": lines("["), "braces": lines("{"), "dashes": lines("- "), "colons": lines("a: "),
		"questions": lines("? "), "angles": lines("<"), "quotes": lines(`"`), "apostrophes": lines("'"),
		"anchors": lines("&a "), "aliases": lines("*a "), "tags": lines("!!a "), "commas": lines("[a,"),
		"reserved": lines("@"), "flow": "[" + fill("a,\n") + "]", "flow map": "{" + lines("a: b,"),
		"keys":            strings.Repeat("a:\n", MaxLines),
		"keys in lists":   strings.Repeat("a:\n- a: b\n", MaxLines/2),
		"keys in flow":    "[\n" + strings.Repeat("a: b\n", MaxLines-2) + "]",
		"keys after flow": strings.Repeat("a: [1,2]\n", MaxLines),
		"list":            "users:\n" + strings.Repeat("- {}\n", MaxLines-1),
		"list of lists":   "users:\n" + strings.Repeat("- [[[]]]\n", MaxLines-1),
		"block text":      "a: |\n" + strings.Repeat(strings.Repeat("\n", MaxBlankLines)+"  x\n", MaxLines/40),
		"long block text": "a: |\n" + strings.Repeat("  "+strings.Repeat("x", 90)+"\n", 4000) + strings.Repeat("\n", MaxBlankLines),
		"folded":          "a: b\n" + strings.Repeat("   - c\n", MaxLines-1),
		"long comment":    fill("# " + strings.Repeat("x", 60) + "\n"),
		"merge":           lines("<< "), "escapes": `a: "` + fill(`\q`), "stairs": stairs(120),
		"many errors": "users:\n" + strings.Repeat("- {x: 1}\n", MaxUsers) + "host_groups:\n" + strings.Repeat("- {y: 1}\n", MaxHostGroups),
	}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			start := worked(t)
			if _, err := Parse([]byte(content[:min(len(content), MaxContent)]), Options{}); err == nil {
				t.Error("accepted")
			}
			if took := worked(t) - start; took > 20*time.Second {
				t.Errorf("it cost %v of a processor", took)
			}
		})
	}
}

// worked is the processor time of this process: on a busy machine a wait is not a cost.
func worked(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func stairs(n int) string {
	var b strings.Builder
	for range 100 {
		for i := range n {
			b.WriteString(strings.Repeat(" ", i) + "a:\n")
		}
	}
	return b.String()
}
