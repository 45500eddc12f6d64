package mysql

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

func TestErrant(t *testing.T) {
	tests := []struct {
		name, candidate, source, want string
	}{
		{"equal", "0-1-5", "0-1-5", ""},
		{"behind", "0-1-4", "0-1-5", ""},
		{"nothing", "", "0-1-5", ""},
		{"both nothing", "", "", ""},
		{"ahead in an origin", "0-1-6", "0-1-5", "0-1-6"},
		{"own write that a position hides", "0-1-29722,0-3-29723", "0-1-30000,0-2-29000", "0-3-29723"},
		{"as seen live", "1-2-30898,1-3-30899", "1-1-29722,1-2-30898", "1-3-30899"},
		{"another domain", "0-1-5,7-1-1", "0-1-5", "7-1-1"},
		{"several", "0-1-6,0-9-1,3-1-1", "0-1-5", "0-1-6,0-9-1,3-1-1"},
		{"former primaries", "0-1-5,0-2-9", "0-1-5,0-2-9,0-3-12", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			candidate := must[GTIDState](t)(ParseGTIDState(tt.candidate))
			source := must[GTIDState](t)(ParseGTIDState(tt.source))
			if got := joinGTIDs(Errant(candidate, source)); got != tt.want {
				t.Errorf("errant %q, want %q", got, tt.want)
			}
			if source.Contains(candidate) != (tt.want == "") {
				t.Errorf("Contains says %t", source.Contains(candidate))
			}
			if !source.Merge(candidate).Contains(candidate) || !source.Merge(candidate).Contains(source) {
				t.Error("a merged state lacks what it was merged of")
			}
		})
	}
}

func TestExecuted(t *testing.T) {
	// A clone's binary log is empty and its gtid_slave_pos is not.
	got := must[GTIDState](t)(executed("0-2-7,0-1-3", "0-1-5"))
	if want := "0-1-5,0-2-7"; got.String() != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := executed("x", ""); !errors.Is(err, ErrBadGTID) {
		t.Errorf("bad state: %v", err)
	}
	if _, err := executed("", "x"); !errors.Is(err, ErrBadGTID) {
		t.Errorf("bad position: %v", err)
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		name, have, want string
		covers           bool
	}{
		{"equal", "0-1-5", "0-1-5", true},
		{"nothing wanted", "", "", true},
		{"ahead, by another server", "0-2-6", "0-1-5", true},
		{"behind", "0-2-4", "0-1-5", false},
		{"a domain is missing", "0-1-5", "0-1-5,1-1-1", false},
		{"more domains", "0-1-5,1-1-1", "1-1-1", true},
	}
	for _, tt := range tests {
		have, want := must[GTIDPos](t)(ParseGTIDPos(tt.have)), must[GTIDPos](t)(ParseGTIDPos(tt.want))
		if have.Covers(want) != tt.covers {
			t.Errorf("%s: %t", tt.name, !tt.covers)
		}
	}
}

func TestParseGTIDRefuses(t *testing.T) {
	for _, text := range []string{"0", "0-1", "0-1-", "-1-2", "a-b-c", "0-1-2-3", "0-1-2,", ",", "0-1-2;0-1-3", "4294967296-1-1",
		"0-4294967296-1", "0-1-18446744073709551616", "+0-1-2", "0-1-2,0-1-3", "3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5"} {
		if s, err := ParseGTIDState(text); !errors.Is(err, ErrBadGTID) {
			t.Errorf("state %q: %v, %v", text, s, err)
		}
	}
	if p, err := ParseGTIDPos("0-1-2,0-2-3"); !errors.Is(err, ErrBadGTID) {
		t.Errorf("two of a domain: %v, %v", p, err)
	}
	long := strings.Repeat("0-1-1,", MaxGTIDs) + "0-1-1"
	if _, err := ParseGTIDState(long); !errors.Is(err, ErrBadGTID) || len(err.Error()) > 200 {
		t.Errorf("too many: %.300v", err)
	}
}

func FuzzParseGTIDState(f *testing.F) {
	for _, s := range []string{"", "0-1-42", "0-1-2,0-2-3,1-1-1", " 0-1-2 ,\n0-2-3", "0-1-18446744073709551615", "4294967295-4294967295-0", "0-1", ",", "--", "0-1-2,0-1-3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		st, err := ParseGTIDState(text)
		if err != nil {
			if !errors.Is(err, ErrBadGTID) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := ParseGTIDState(st.String())
		if err != nil || !maps.Equal(st, again) {
			t.Fatalf("%q became %q: %v, %v", text, st.String(), again, err)
		}
		if len(Errant(st, st)) != 0 || !st.Contains(GTIDState{}) {
			t.Fatalf("%q does not contain itself", text)
		}
		for o := range st {
			less := maps.Clone(st)
			delete(less, o)
			if len(Errant(st, less)) != 1 {
				t.Fatalf("%q without %v misses %v", text, o, Errant(st, less))
			}
		}
		if p, err := ParseGTIDPos(text); err == nil && !p.Covers(p) {
			t.Fatalf("%q does not cover itself", text)
		}
	})
}
