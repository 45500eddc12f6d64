package api

import (
	"errors"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	for _, test := range []struct {
		name, body, want string // want is part of the error, empty for none
	}{
		{"good", `{"hostGroup":"g","toIndex":1}`, ""},
		{"unknown member", `{"hostGroup":"g","toIndex":1,"later":true}`, ""},
		{"empty", ``, `misses "hostGroup"`},
		{"null member", `{"hostGroup":null,"toIndex":1}`, `misses "hostGroup"`},
		{"no JSON", `{hostGroup:'g'}`, "not a JSON object"},
		{"array", `[]`, "not a JSON object"},
		{"null", `null`, `misses "hostGroup"`},
		{"missing", `{"hostGroup":"g"}`, `misses "toIndex"`},
		{"wrong type", `{"hostGroup":"g","toIndex":"1"}`, "does not fit"},
		{"fraction", `{"hostGroup":"g","toIndex":1.5}`, "does not fit"},
		{"two objects", `{"hostGroup":"g","toIndex":1}{}`, "not a JSON object"},
	} {
		var req ProxyVoteFetchRequest
		err := Decode(ProxyVoteFetch, []byte(test.body), []string{"hostGroup", "toIndex"}, &req)
		switch {
		case test.want == "" && (err != nil || req.HostGroup != "g" || req.ToIndex != 1):
			t.Errorf("%s: %v, %+v", test.name, err, req)
		case test.want != "" && (!errors.Is(err, ErrBadRequest) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"hostGroup":"g","toIndex":1}`))
	f.Add([]byte(`{"content":"\u0000","configId":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var push PushConfigRequest
		if err := Decode(PushConfig, body, []string{"configId", "content"}, &push); err != nil && !errors.Is(err, ErrBadRequest) {
			t.Errorf("%q: %v", body, err)
		}
		var beat ProxyHeartbeatRequest
		if err := Decode(ProxyHeartbeat, body, nil, &beat); err != nil && !errors.Is(err, ErrBadRequest) {
			t.Errorf("%q: %v", body, err)
		}
	})
}

func FuzzParseStamp(f *testing.F) {
	f.Add("1.2.3")
	f.Add("18446744073709551616.0.0")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseStamp(text); err == nil {
			if again, err := ParseStamp(s.String()); err != nil || again != s {
				t.Errorf("%q is %v is %v, %v", text, s, again, err)
			}
		}
	})
}
