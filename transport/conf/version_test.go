package conf

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestParseVersion(t *testing.T) {
	tests := []struct {
		text string
		want Version
		good bool
	}{
		{"1.0.0", Version{1, 0, 0}, true},
		{"0.0.0", Version{}, true},
		{"12.3.9", Version{12, 3, 9}, true},
		{"999999999999999.9.9", Version{999999999999999, 9, 9}, true},
		{text: ""}, {text: "1"}, {text: "1.0"}, {text: "1.0.0.0"}, {text: "1.0."}, {text: "1..0"}, {text: "01.0.0"},
		{text: "1.10.0"}, {text: "1.0.10"}, {text: "-1.0.0"}, {text: "+1.0.0"}, {text: "1.0.0 "}, {text: "v1.0.0"},
		{text: "1.00.0"}, {text: "1000000000000000.0.0"}, {text: "1.a.0"}, {text: "１.0.0"},
	}
	for _, test := range tests {
		got, err := ParseVersion(test.text)
		if (err == nil) != test.good || got != test.want {
			t.Errorf("%q: got %v, %v", test.text, got, err)
		}
		if err != nil && !errors.Is(err, ErrVersion) {
			t.Errorf("%q: %v is not ErrVersion", test.text, err)
		}
		if err == nil && got.String() != test.text {
			t.Errorf("%q prints as %s", test.text, got)
		}
	}
}

func TestNextVersion(t *testing.T) {
	tests := []struct{ from, full, edit string }{
		{"0.0.0", "1.0.0", "1.0.0"},
		{"1.0.0", "2.0.0", "1.0.1"},
		{"1.0.8", "2.0.0", "1.0.9"},
		{"1.0.9", "2.0.0", "1.1.0"},
		{"1.9.8", "2.0.0", "1.9.9"},
		{"1.9.9", "2.0.0", "2.0.0"},
		{"41.5.9", "42.0.0", "41.6.0"},
	}
	for _, test := range tests {
		v, err := ParseVersion(test.from)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.NextFull().String(); got != test.full {
			t.Errorf("NextFull of %s: %s", v, got)
		}
		if got := v.NextEdit().String(); got != test.edit {
			t.Errorf("NextEdit of %s: %s", v, got)
		}
		if v.NextFull().Compare(v) != 1 || v.NextEdit().Compare(v) != 1 {
			t.Errorf("the next versions of %s are not newer", v)
		}
	}
	// Every edit is newer than all before it, and can be read back.
	v := Version{}
	for range 2000 {
		next := v.NextEdit()
		back, err := ParseVersion(next.String())
		if err != nil || back != next || next.Compare(v) != 1 || v.Compare(next) != -1 || next.Compare(next) != 0 {
			t.Fatalf("%v after %v: %v %v", next, v, back, err)
		}
		v = next
	}
	if v.String() != "20.9.9" {
		t.Errorf("2000 edits lead to %v", v)
	}
}

func TestVersionJSON(t *testing.T) {
	out, err := json.Marshal(Version{1, 2, 3})
	if err != nil || string(out) != `"1.2.3"` {
		t.Errorf("got %s, %v", out, err)
	}
	var v Version
	if err := json.Unmarshal(out, &v); err != nil || v != (Version{1, 2, 3}) {
		t.Errorf("got %v, %v", v, err)
	}
	if err := json.Unmarshal([]byte(`"1.2"`), &v); !errors.Is(err, ErrVersion) {
		t.Errorf("got %v", err)
	}
	if !(Version{}).IsZero() || v.IsZero() {
		t.Error("IsZero")
	}
}
