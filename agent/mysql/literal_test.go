package mysql

import (
	"errors"
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "abc", "'abc'"},
		{"empty", "", "''"},
		{"quotes", "a'b''c", "'a''b''''c'"},
		{"backslash", `a\'; DROP`, `'a\''; DROP'`},
		{"double quotes and dashes", `"; -- /* # `, `'"; -- /* # '`},
		{"umlaut", "pä€", "'pä€'"},
	}
	for _, tt := range tests {
		if got, err := quote(tt.in); got != tt.want || err != nil {
			t.Errorf("%s: %s, %v", tt.name, got, err)
		}
	}
	for _, bad := range []string{"a\nb", "a\x00", "\x1b", "\x7f", "a\xbf'", "\uFFFD"} {
		if got, err := quote(bad); !errors.Is(err, ErrBadLiteral) {
			t.Errorf("%q became %s", bad, got)
		}
	}
	if _, err := quoteMax("x", strings.Repeat("a", 97), 96); !errors.Is(err, ErrBadLiteral) {
		t.Errorf("too long: %v", err)
	}
}

// TestQuoteAtTheServer has the server read literals back in a session of ours.
func TestQuoteAtTheServer(t *testing.T) {
	a, _, _ := servers(t)
	c := must[*session](t)(a.server(t).session(t.Context(), a.server(t).work))
	defer c.close()
	for _, text := range []string{replPassword, agentPassword, `\`, `\'`, `'`, `''`, `\\'`, `€'é\`, `%_`, "`", `' OR 1=1 -- `} {
		literal, err := quote(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.value(t.Context(), "read back", "SELECT "+literal); got != text || err != nil {
			t.Errorf("%q came back as %q, %v", text, got, err)
		}
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "'", `\'`, "''", "a\nb", "é'", "\xbf\x27"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := quote(s)
		if err != nil {
			return
		}
		// Read it as the server does without backslash escapes.
		body, ok := strings.CutPrefix(q, "'")
		if !ok || !strings.HasSuffix(body, "'") {
			t.Fatalf("%q became %q", s, q)
		}
		body = body[:len(body)-1]
		if strings.Contains(strings.ReplaceAll(body, "''", ""), "'") || strings.ReplaceAll(body, "''", "'") != s {
			t.Fatalf("%q became %q", s, q)
		}
	})
}
