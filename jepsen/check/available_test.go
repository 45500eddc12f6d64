package check

import (
	"slices"
	"testing"
)

func TestAvailable(t *testing.T) {
	ops := []Op{
		write(1, 5, 10, "a", 1), cas(1, 11, 20, 9, "x", Refused), with(write(1, 25, 30, "f", 0), Failed),
		with(write(1, 31, 0, "u", 0), Unknown), read(2, 32, 33, "a", 1), write(1, 60, 70, "b", 2), write(2, 61, 69, "c", 3),
	}
	got := Available(ops, Window{"all", 0, ms(100)}, Window{"head", 0, ms(20)}, Window{"tail", ms(65), ms(90)}, Window{"none", ms(21), ms(60)})
	want := []Gap{
		{Window{"all", 0, ms(100)}, ms(49), ms(20), 4},
		{Window{"head", 0, ms(20)}, ms(10), 0, 1},
		{Window{"tail", ms(65), ms(90)}, ms(20), ms(70), 2},
		{Window{"none", ms(21), ms(60)}, ms(39), ms(21), 0},
	}
	if !slices.Equal(got, want) {
		t.Errorf("gaps %+v, want %+v", got, want)
	}
	if d, ok := Recovery(ops, ms(21)); !ok || d != ms(48) {
		t.Errorf("recovery %v, %v", d, ok)
	}
	if d, ok := Recovery(ops, ms(20)); !ok || d != 0 {
		t.Errorf("recovery %v, %v", d, ok)
	}
	if _, ok := Recovery(ops, ms(71)); ok {
		t.Error("recovered though nothing was acknowledged any more")
	}
}

func TestEnough(t *testing.T) {
	good, lost := write(1, 0, 1, "a", 1), with(write(1, 0, 0, "b", 0), Unknown)
	many := slices.Repeat([]Op{good}, 9)
	wantOK(t, Enough(append(many, lost)))
	wantUndecided(t, Enough(append(many[:8:8], lost)), "1 of 9 operations is unknown, 11 %")
	wantUndecided(t, Enough([]Op{with(good, Failed)}), "none was done")
	wantUndecided(t, Enough(nil), "none was done")
}

func TestMonotonic(t *testing.T) {
	gone := read(1, 4, 5, "", 0)
	other := read(2, 4, 5, "a", 1)
	for _, c := range []struct {
		name string
		ops  []Op
		want string
	}{
		{"forward", []Op{write(1, 0, 1, "a", 1), read(1, 2, 3, "a", 1), read(1, 4, 5, "b", 2)}, ""},
		{"another client may be behind", []Op{read(1, 0, 1, "", 0), read(1, 2, 3, "b", 2), other}, ""},
		{"back", []Op{read(1, 0, 1, "b", 2), read(1, 2, 3, "a", 1)}, "and before"},
		{"gone", []Op{read(1, 0, 1, "b", 2), gone}, "and before"},
		{"its own write not read", []Op{write(1, 0, 1, "b", 2), read(1, 2, 3, "a", 1)}, "and before"},
		{"a write of a version seen before", []Op{read(1, 0, 1, "b", 2), write(1, 2, 3, "c", 2)}, "and before"},
		{"a version not told", []Op{read(1, 0, 1, "b", 2), versionless(read(1, 2, 3, "a", 1)), read(1, 4, 5, "b", 2)}, ""},
		{"at the same time", []Op{read(1, 0, 9, "b", 2), read(1, 2, 3, "a", 1), read(1, 10, 11, "b", 2)}, ""},
		{"once each", []Op{read(1, 0, 9, "b", 2), other}, "?no client saw a key twice"},
	} {
		t.Run(c.name, func(t *testing.T) { wantVerdict(t, Monotonic(c.ops), c.want) })
	}
}
