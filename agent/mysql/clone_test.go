package mysql

import (
	"errors"
	"testing"
)

func TestHistory(t *testing.T) {
	for _, c := range []struct{ name, source, pos, want string }{
		{"one writer", "0-1-9", "0-1-7", "0-1-7"},
		{"writers of before", "0-1-4,0-2-6,0-3-9", "0-3-8", "0-1-4,0-2-6,0-3-8"},
		{"the last of a domain comes last", "0-1-4,0-9-2,0-3-9", "0-3-8", "0-9-2,0-1-4,0-3-8"},
		{"a writer that came back", "0-1-12,0-3-9", "0-3-8", "0-3-8"},
		{"domains", "0-1-4,1-1-5,2-2-2", "1-1-3,0-1-4", "0-1-4,1-1-3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := must[GTIDState](t)(ParseGTIDState(c.source))
			pos := must[GTIDPos](t)(ParseGTIDPos(c.pos))
			if got := joinGTIDs(history(source, pos)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestForgotten(t *testing.T) {
	for _, c := range []struct{ name, candidate, source, want string }{
		{"the same", "0-1-4,0-3-8", "0-1-4,0-3-8", ""},
		{"behind", "0-1-4,0-3-8", "0-1-4,0-3-9", ""},
		{"behind, before a new writer", "0-1-4", "0-1-4,0-3-9", ""},
		{"a clone without history", "0-3-8", "0-1-4,0-3-9", "0-1-4"},
		{"another domain", "0-3-8", "1-1-4,0-3-9", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			candidate, source := must[GTIDState](t)(ParseGTIDState(c.candidate)), must[GTIDState](t)(ParseGTIDState(c.source))
			if got := joinGTIDs(Forgotten(candidate, source)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// A server is built anew from a copy of the primary's data, as mariadb-dump and mariadb-backup leave it: with a position, and
// an empty binary log. When it is the primary later, the others follow it.
func TestCloneInherits(t *testing.T) {
	a, b, c := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b, c)
	a.exec(t, "SET GLOBAL read_only=1")
	must[Promoted](t)(b.server(t).Promote(t.Context(), free{})) // another writes: there are two origins
	from := func(n *node) Source {
		src := n.source()
		src.GTIDState = must[GTIDState](t)(must[State](t)(n.server(t).State(t.Context())).Executed()).String()
		return src
	}
	must[Following](t)(a.server(t).Follow(t.Context(), from(b)))
	must[Following](t)(c.server(t).Follow(t.Context(), from(b)))
	b.exec(t, "INSERT INTO app.t(v) VALUES (2)")
	caughtUp(t, b, a, c)

	pos := c.value(t, "SELECT @@global.gtid_slave_pos")
	c.exec(t, "STOP SLAVE; RESET SLAVE ALL; RESET MASTER; SET GLOBAL gtid_slave_pos='"+pos+"'")
	b.exec(t, "INSERT INTO app.t(v) VALUES (3)")
	must[Following](t)(c.server(t).Follow(t.Context(), from(b)))
	caughtUp(t, b, c)
	if has, want := from(c).GTIDState, from(b).GTIDState; has != want {
		t.Errorf("the clone knows of %s, its source of %s", has, want)
	}
	b.exec(t, "SET GLOBAL read_only=1")
	must[Promoted](t)(c.server(t).Promote(t.Context(), free{}))
	for _, n := range []*node{a, b} {
		if _, err := n.server(t).Follow(t.Context(), from(c)); errors.Is(err, ErrErrant) {
			t.Errorf("who has all that the clone has is said to be errant: %v", err)
		} else if err != nil {
			t.Error(err)
		}
	}
	c.exec(t, "INSERT INTO app.t(v) VALUES (4)")
	caughtUp(t, c, a, b)
}
