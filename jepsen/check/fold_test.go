package check

import (
	"slices"
	"testing"
)

func TestFold(t *testing.T) {
	try := func(call, ret int, outcome Outcome, version uint64) Op {
		return Op{Kind: Write, Key: "k", Value: "v", Call: ms(call), Return: ms(ret), Outcome: outcome, GotVersion: version, Session: "s", Seq: 4}
	}
	other := Op{Kind: Write, Key: "k", Value: "w", Call: ms(2), Return: ms(3), Outcome: OK, Session: "s", Seq: 5}
	for _, c := range []struct {
		name string
		ops  []Op
		want []Op
	}{
		{"unknown, then done", []Op{try(1, 0, Unknown, 0), other, try(5, 6, OK, 3)}, []Op{try(1, 6, OK, 3), other}},
		{"done, then asked again", []Op{try(5, 9, OK, 3), try(1, 6, OK, 3)}, []Op{try(1, 6, OK, 3)}},
		{"done, then unknown", []Op{try(1, 2, OK, 3), try(5, 0, Unknown, 0)}, []Op{try(1, 2, OK, 3)}},
		{"failed, then done", []Op{try(1, 2, Failed, 0), try(5, 6, OK, 3)}, []Op{try(5, 6, OK, 3)}},
		{"failed, then unknown", []Op{try(1, 2, Failed, 0), try(5, 0, Unknown, 0)}, []Op{try(5, 0, Unknown, 0)}},
		{"unknown, then failed", []Op{try(1, 0, Unknown, 0), try(5, 6, Failed, 0)}, []Op{try(1, 0, Unknown, 0)}},
		{"unknown, then refused", []Op{try(1, 0, Unknown, 0), try(5, 6, Refused, 0)}, []Op{try(1, 6, Refused, 0)}},
		{"no session", []Op{{Kind: Write, Call: 1, Outcome: Unknown}, {Kind: Write, Call: 2, Return: 3, Outcome: OK}},
			[]Op{{Kind: Write, Call: 1, Outcome: Unknown}, {Kind: Write, Call: 2, Return: 3, Outcome: OK}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.ops)
			if got := Fold(c.ops); !slices.Equal(got, c.want) {
				t.Errorf("folded %v, want %v", got, c.want)
			}
			if !slices.Equal(c.ops, before) {
				t.Error("the operations were changed")
			}
			if again := Fold(Fold(c.ops)); !slices.Equal(again, c.want) {
				t.Errorf("folded twice %v", again)
			}
		})
	}
}
