package ctl

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPrintable(t *testing.T) {
	for _, test := range []struct{ in, line, lines string }{
		{"plain ünïcode →", "plain ünïcode →", "plain ünïcode →"},
		{"a\x1b[2Jb", `a\x1b[2Jb`, `a\x1b[2Jb`},
		{"a\nb\tc", `a\nb\tc`, "a\nb\tc"},
		{"\r", `\r`, `\r`},
		{"\xff", `\xff`, `\xff`},
		{"\uFFFD", "\uFFFD", "\uFFFD"},
		{"right\u202eleft", `right\u202eleft`, `right\u202eleft`},
		{"", "", ""},
	} {
		if got := printable(test.in, false); got != test.line {
			t.Errorf("line %q: %q, want %q", test.in, got, test.line)
		}
		if got := printable(test.in, true); got != test.lines {
			t.Errorf("lines %q: %q, want %q", test.in, got, test.lines)
		}
	}
}

func TestTableAligns(t *testing.T) {
	rows := [][]any{{"ü", 1, "x"}, {"longer", 22, ""}, {cell{"bad\n", bad}, "", "end"}}
	var out bytes.Buffer
	text := newText(&out, false)
	text.Table([]string{"A", "B", "C"}, rows)
	if err := text.flush(); err != nil {
		t.Fatal(err)
	}
	want := "A       B   C\nü       1   x\nlonger  22  -\nbad\\n   -   end\n"
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
	out.Reset()
	text = newText(&out, true)
	text.Table([]string{"A", "B", "C"}, rows)
	if err := text.flush(); err != nil {
		t.Fatal(err)
	}
	colored := out.String()
	for _, s := range []style{bad, weak, reset} {
		if !strings.Contains(colored, string(s)) {
			t.Errorf("%q is not in %q", s, colored)
		}
		colored = strings.ReplaceAll(colored, string(s), "")
	}
	if colored != want {
		t.Errorf("without its colours it is:\n%s", colored)
	}
}

func TestColor(t *testing.T) {
	for _, test := range []struct {
		name string
		tty  bool
		env  map[string]string
		want bool
	}{
		{"terminal", true, nil, true},
		{"file", false, nil, false},
		{"NO_COLOR", true, map[string]string{"NO_COLOR": "1"}, false},
		{"NO_COLOR empty", true, map[string]string{"NO_COLOR": ""}, true},
		{"dumb", true, map[string]string{"TERM": "dumb"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := map[string]string{}
			for k, v := range test.env {
				env[k] = v
			}
			got := run{fake: healthy(), env: env, tty: test.tty}.do("group", "list")
			if colored := strings.Contains(got.out, "\x1b["); colored != test.want {
				t.Errorf("coloured: %v", colored)
			}
		})
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("pipe is closed") }

// TestBrokenOutput: an answer that could not be written is a failure.
func TestBrokenOutput(t *testing.T) {
	for _, format := range []string{formatTable, formatJSON} {
		var errs lockedBuffer
		streams := Streams{In: strings.NewReader(""), Out: brokenWriter{}, Err: &errs, LookupEnv: func(string) (string, bool) { return "", false }}
		code := Main(t.Context(), []string{"group", "list", "-o", format}, streams, Dependencies{
			Connect: func(Connection) (Keepers, error) { return healthy(), nil },
		})
		if code != ExitFailed || !strings.Contains(errs.String(), "pipe is closed") {
			t.Errorf("%s: exit %d: %s", format, code, errs.String())
		}
	}
}

func TestUnits(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{millis(1.25), "1.2 ms"}, {millis(250), "250 ms"}, {millis(1500), "1.50 s"}, {millis(90_000), "1m30s"},
		{age(-1), ""}, {age(20), "20 ms ago"},
		{bytesText(1023), "1023 B"}, {bytesText(1536), "1.5 KiB"}, {bytesText(1 << 40), "1.0 TiB"},
		{clock(time.Time{}), ""}, {clock(moment), "2026-03-01 02:03:04.005"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}
