package conf

import (
	"errors"
	"strings"
	"testing"
)

func TestRemap(t *testing.T) {
	tests := []struct {
		name     string
		old      string
		writable int
		open     bool
		new      string
		active   int
		want     int
		warning  bool
		err      error
		fails    bool
	}{
		{name: "same", old: "a b", writable: 1, new: "a b", active: 1, want: 1},
		{name: "active_write not given", old: "a b", writable: 1, new: "a b", active: -1, want: 1},
		{name: "active_write differs", old: "a b", writable: 1, new: "a b", active: 0, want: 1, warning: true},
		{name: "re-ordered", old: "a b c", writable: 0, new: "c b a", active: 2, want: 2},
		{name: "re-ordered, active_write follows the place", old: "a b c", writable: 0, new: "c b a", active: 0, want: 2, warning: true},
		{name: "inserted before", old: "a b", writable: 0, new: "x a b", active: -1, want: 1},
		{name: "another removed", old: "a b c", writable: 2, new: "a c", active: -1, want: 1},
		{name: "primary removed", old: "a b", writable: 0, new: "b", active: 0, err: ErrWritableRemoved},
		{name: "group removed", old: "a b", writable: 0, new: "", active: -1, err: ErrWritableRemoved},
		{name: "switch in progress, same list", old: "a b", writable: 0, open: true, new: "a b", active: 0, want: 0},
		{name: "switch in progress, same list, other active_write", old: "a b", writable: 0, open: true, new: "a b", active: 1, want: 0, warning: true},
		{name: "switch in progress, added", old: "a b", writable: 0, open: true, new: "a b c", active: 0, err: ErrSwitchInProgress},
		{name: "switch in progress, re-ordered", old: "a b", writable: 0, open: true, new: "b a", active: 1, err: ErrSwitchInProgress},
		{name: "switch in progress, removed", old: "a b", writable: 0, open: true, new: "", active: -1, err: ErrSwitchInProgress},
		{name: "writable out of range", old: "a b", writable: 2, new: "a b", fails: true},
		{name: "writable negative", old: "a b", writable: -1, new: "a b", fails: true},
		{name: "primary twice", old: "a b", writable: 0, new: "a b a", fails: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, warnings, err := Remap(strings.Fields(test.old), test.writable, test.open, strings.Fields(test.new), test.active)
			if (err != nil) != (test.fails || test.err != nil) || !test.fails && !errors.Is(err, test.err) {
				t.Fatalf("got error %v, want %v", err, test.err)
			}
			if err == nil && got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
			if (len(warnings) > 0) != test.warning {
				t.Errorf("warnings: %v", warnings)
			}
		})
	}
}

// TestRemapOfConfigs joins what Parse gives with what Remap takes.
func TestRemapOfConfigs(t *testing.T) {
	before := mustParse(t, minimal).HostGroups[0]
	after := mustParse(t, strings.Replace(minimal, "10.0.0.1:3306,10.0.0.2:3306", "10.0.0.3:3306,10.0.0.2:3306,10.0.0.1:3306", 1)).HostGroups[0]
	got, warnings, err := Remap(before.Addresses(), 1, false, after.Addresses(), after.GivenActive())
	if got != 1 || err != nil || len(warnings) > 0 {
		t.Errorf("got %d, %v, %v", got, warnings, err)
	}
	got, warnings, err = Remap(before.Addresses(), 0, false, after.Addresses(), after.GivenActive())
	if got != 2 || err != nil || len(warnings) > 0 {
		t.Errorf("got %d, %v, %v", got, warnings, err)
	}
}
