package check

import "testing"

func TestSet(t *testing.T) {
	list := func(e ...string) []string { return e }
	for _, c := range []struct {
		name           string
		acked, unknown []string
		a, b           []string
		want           string
	}{
		{"all there", list("1", "2"), nil, list("1", "2"), list("2", "1"), ""},
		{"unknown there and not", list("1"), list("2", "3"), list("1", "2"), list("2", "1"), ""},
		{"acknowledged at the second try", list("1"), list("1"), list("1"), list("1"), ""},
		{"lost on one node", list("1", "2"), nil, list("1", "2"), list("1"), "b: 1 acknowledged elements are lost: 2"},
		{"lost everywhere", list("1", "2"), nil, nil, nil, "a: 2 acknowledged elements are lost: 1, 2"},
		{"lost though also unknown", list("1", "2"), list("2"), list("1"), list("1"), "lost: 2"},
		{"alien", list("1"), nil, list("1", "x"), list("1"), "a: 1 elements that nobody wrote: x"},
		{"twice", list("1"), nil, list("1", "1"), list("1"), "a: 1 elements are there more than once: 1"},
		{"nothing acknowledged", nil, list("1"), list("1"), list("1"), "?no element was acknowledged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantVerdict(t, Set(c.acked, c.unknown, map[string][]string{"a": c.a, "b": c.b}), c.want)
		})
	}
	wantUndecided(t, Set(list("1"), nil, nil), "no node was read")
}
