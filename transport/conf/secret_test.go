package conf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

func TestResolveSecret(t *testing.T) {
	files := map[string]string{
		"/pw": "hunter2\n", "/crlf": "hunter2\r\n", "/bare": "hunter2", "/two": "hunter2\n\n", "/empty": "\n",
		"/long": strings.Repeat("x", MaxSecret+1), "/huge": strings.Repeat("x", 10*MaxSecret),
		"/full": strings.Repeat("x", MaxSecret) + "\r\n", "/nul": "hunter2\x00", "/spaces": " a b \n",
	}
	env := map[string]string{"PW": "hunter2", "EMPTY": "", "LINES": "hunter2\nb"}
	readFile := func(name string) ([]byte, error) {
		content, ok := files[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(content), nil
	}
	getenv := func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
	tests := []struct {
		name, ref string
		dev       bool
		want      string
		err       error
		text      string
	}{
		{name: "file", ref: "${file:/pw}", want: "hunter2"},
		{name: "file with CRLF", ref: "${file:/crlf}", want: "hunter2"},
		{name: "file without newline", ref: "${file:/bare}", want: "hunter2"},
		{name: "spaces are kept", ref: "${file:/spaces}", want: " a b "},
		{name: "longest", ref: "${file:/full}", want: strings.Repeat("x", MaxSecret)},
		{name: "env", ref: "${env:PW}", want: "hunter2"},
		{name: "literal in dev", ref: "hunter2", dev: true, want: "hunter2"},
		{name: "empty in dev", ref: "", dev: true, want: ""},
		{name: "empty file in dev", ref: "${file:/empty}", dev: true, want: ""},
		{name: "literal", ref: "hunter2", err: ErrLiteralSecret, text: "${file:/path}"},
		{name: "empty", ref: "", err: ErrLiteralSecret},
		{name: "missing file", ref: "${file:/none}", err: fs.ErrNotExist, text: "resolve ${file:/none}: open /none"},
		{name: "two lines", ref: "${file:/two}", err: ErrSecret, text: "${file:/two}"},
		{name: "empty file", ref: "${file:/empty}", err: ErrSecret, text: "empty"},
		{name: "too long", ref: "${file:/long}", err: ErrSecret, text: "4096"},
		{name: "far too long", ref: "${file:/huge}", err: ErrSecret, text: "4096"},
		{name: "NUL", ref: "${file:/nul}", err: ErrSecret},
		{name: "missing variable", ref: "${env:NONE}", err: ErrSecret, text: "resolve ${env:NONE}: "},
		{name: "empty variable", ref: "${env:EMPTY}", err: ErrSecret},
		{name: "variable of two lines", ref: "${env:LINES}", err: ErrSecret},
		{name: "relative path", ref: "${file:pw}", err: ErrBadReference},
		{name: "bad reference in dev", ref: "${hunter2", dev: true, err: ErrBadReference},
		{name: "unknown scheme", ref: "${vault:hunter2}", dev: true, err: ErrBadReference},
		{name: "long path", ref: "${file:/" + strings.Repeat("x", 2000) + "}", err: ErrBadReference},
		{name: "literal of two lines in dev", ref: "hunter2\nb", dev: true, err: ErrSecret},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ResolveSecret(test.ref, readFile, getenv, test.dev)
			if !errors.Is(err, test.err) {
				t.Fatalf("got error %v, want %v", err, test.err)
			}
			if err != nil {
				if got != "" {
					t.Error("a secret beside an error")
				}
				if !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("error text: %v", err)
				}
				return
			}
			if got.Reveal() != test.want {
				t.Errorf("got %q", got.Reveal())
			}
			again, err := Ref(test.ref).Resolve(readFile, getenv, test.dev)
			if err != nil || again != got {
				t.Errorf("Ref.Resolve: %v", err)
			}
		})
	}
}

func TestSecretsAreRedacted(t *testing.T) {
	type holder struct {
		S Secret
		R Ref
		P *Secret
	}
	secret := Secret("hunter2")
	h := holder{secret, "hunter2", &secret}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s", "%T"} {
		for _, value := range []any{secret, Ref("hunter2"), h, &h, []Secret{secret}, map[string]Secret{"k": secret}} {
			got := fmt.Sprintf(verb, value)
			for _, leak := range []string{"hunter2", "68756e74657232", "68756E74657232"} {
				if strings.Contains(got, leak) {
					t.Errorf("%s of %T: %s", verb, value, got)
				}
			}
		}
	}
	got, err := json.Marshal(map[string]any{"h": h, "m": map[string]Ref{"k": "hunter2"}})
	if err != nil || strings.Contains(string(got), "hunter2") || !strings.Contains(string(got), redacted) {
		t.Errorf("JSON: %s %v", got, err)
	}
	if secret.String() != redacted || secret.GoString() != redacted || Ref("x").String() != redacted {
		t.Error("String")
	}
	text, err := secret.MarshalText()
	if err != nil || string(text) != redacted {
		t.Errorf("MarshalText: %s %v", text, err)
	}
	// A reference is no secret, and is what an operator needs to see.
	if got := fmt.Sprint(Ref("${env:PW}")); got != "${env:PW}" {
		t.Errorf("a reference prints as %s", got)
	}
	if secret.Reveal() != "hunter2" {
		t.Error("Reveal")
	}
}
