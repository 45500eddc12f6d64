package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// dbw is a write of two rows, begun and ended at milliseconds.
func dbw(id int64, call, ret int, outcome Outcome, gtid string) DBWrite {
	return DBWrite{ID: id, Parts: 2, Proxy: "p1", Call: ms(call), Return: ms(ret), Outcome: outcome, GTID: gtid}
}

// rowsOf are both rows of each write.
func rowsOf(ids ...int64) map[int64]map[int]int {
	rows := map[int64]map[int]int{}
	for _, id := range ids {
		rows[id] = map[int]int{1: 1, 2: 1}
	}
	return rows
}

// expect wants a verdict with problems that hold each of these, in any order, and no others; "" is a good history.
func expect(t *testing.T, v Verdict, unknown bool, want ...string) {
	t.Helper()
	if v.OK != (len(want) == 0) || v.Unknown != unknown || len(v.Problems) != len(want) {
		t.Errorf("ok %v, unknown %v, problems %q; want %q", v.OK, v.Unknown, v.Problems, want)
		return
	}
	for _, text := range want {
		if !slices.ContainsFunc(v.Problems, func(p string) bool { return strings.Contains(p, text) }) {
			t.Errorf("problems %q, want one with %q", v.Problems, text)
		}
	}
}

func TestParseGTIDs(t *testing.T) {
	list, err := ParseGTIDs("0-1-7, 0-2-9,4294967295-3-18446744073709551615")
	if err != nil || len(list) != 3 || list[1] != (GTID{0, 2, 9}) || list[2].String() != "4294967295-3-18446744073709551615" {
		t.Errorf("%v, %v", list, err)
	}
	for _, bad := range []string{"0-1", "a-1-2", "0-4294967296-1", "0-1--2", "0-1-2-3"} {
		if _, err := ParseGTIDs(bad); err == nil {
			t.Errorf("%q is taken for a GTID", bad)
		}
	}
	if list, err := ParseGTIDs(""); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestNoLostWrite(t *testing.T) {
	writes := []DBWrite{
		dbw(1, 0, 5, OK, "0-1-4"), dbw(2, 5, 9, Unknown, ""), dbw(3, 6, 9, Failed, ""), dbw(4, 20, 25, OK, "0-2-6"), dbw(5, 7, 9, Unknown, ""),
	}
	state := []GTID{{0, 1, 5}, {0, 2, 6}}
	both := func(change func(a, b *DBFinal)) []DBFinal {
		a, b := DBFinal{"db1", rowsOf(1, 2, 4), state}, DBFinal{"db2", rowsOf(1, 2, 4), state}
		if change != nil {
			change(&a, &b)
		}
		return []DBFinal{a, b}
	}
	for _, test := range []struct {
		name    string
		finals  []DBFinal
		unknown bool
		want    []string
	}{
		{name: "as it must be", finals: both(nil)},
		{name: "lost on one", finals: both(func(a, _ *DBFinal) { delete(a.Rows, 4) }), want: []string{"db1: 1 acknowledged writes are lost: 4 (0-2-6 by p1"}},
		{name: "lost in part", finals: both(func(_, b *DBFinal) { delete(b.Rows[1], 2) }), want: []string{"db2: 1 acknowledged writes are lost: 1"}},
		{name: "not in the log", finals: both(func(a, _ *DBFinal) { a.State = []GTID{{0, 1, 9}} }), want: []string{"db1: 1 acknowledged transactions are not in its binary log (0-1-9): 0-2-6"}},
		{name: "refused and there", finals: both(func(a, b *DBFinal) { a.Rows[3], b.Rows[3] = map[int]int{1: 1}, map[int]int{1: 1} }),
			want: []string{"db1: 1 writes are there that were refused: 3", "db2: 1 writes are there that were refused: 3"}},
		{name: "in doubt, in part", finals: both(func(a, b *DBFinal) { delete(a.Rows[2], 1); delete(b.Rows[2], 1) }), want: []string{"db1: 1 writes in doubt are there in part: 2", "db2: 1 writes"}},
		{name: "in doubt, on one", finals: both(func(a, _ *DBFinal) { a.Rows[5] = map[int]int{1: 1, 2: 1} }), want: []string{"not on all servers: 5 (on 1 of 2)"}},
		{name: "done twice", finals: both(func(a, _ *DBFinal) { a.Rows[1][2] = 2 }), want: []string{"db1: 1 writes were done twice: 1"}},
		{name: "from nobody", finals: both(func(_, b *DBFinal) { b.Rows[77] = map[int]int{1: 1} }), want: []string{"db2: 1 rows that nobody wrote: 77"}},
		{name: "a part too many", finals: both(func(_, b *DBFinal) { b.Rows[1][3] = 1 }), want: []string{"db2: 1 rows that nobody wrote: part of 1"}},
		{name: "only one server", finals: both(nil)[:1], unknown: true, want: []string{"only 1 servers"}},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, NoLostWrite(writes, test.finals), test.unknown, test.want...) })
	}
	expect(t, NoLostWrite(nil, []DBFinal{{Name: "a"}, {Name: "b"}}), true, "no write was acknowledged")
}

// looksOf looks at a server every 50 ms.
func looksOf(server string, from, to int, readOnly, guarded bool) []DBLook {
	var looks []DBLook
	for at := from; at < to; at += 50 {
		looks = append(looks, DBLook{server, ms(at), ms(at + 1), readOnly, guarded})
	}
	return looks
}

func TestOnePrimary(t *testing.T) {
	good := []DBWrite{
		dbw(1, 0, 5, OK, "0-1-4"), dbw(2, 1, 6, OK, "0-1-3"), dbw(3, 7, 9, OK, "0-1-5"), dbw(4, 100, 130, Unknown, ""), dbw(5, 120, 140, OK, "0-2-6"), dbw(6, 141, 150, OK, "0-2-7"),
	}
	calm := slices.Concat(looksOf("db1", 0, 100, false, true), looksOf("db1", 100, 400, true, true), looksOf("db2", 0, 110, true, true), looksOf("db2", 110, 400, false, true))
	for _, test := range []struct {
		name    string
		writes  []DBWrite
		looks   []DBLook
		commits int
		unknown bool
		want    []string
	}{
		{name: "as it must be", writes: good, looks: calm, commits: 1},
		{name: "commits not known", writes: good, looks: calm, commits: -1},
		{name: "the old one's after the new one's", writes: append(slices.Clone(good), dbw(7, 200, 210, OK, "0-1-8")), looks: calm, commits: 1, want: []string{"changed 2 times, and a primary was committed 1 times"}},
		{name: "behind in the order", writes: append(slices.Clone(good), dbw(7, 200, 210, OK, "0-1-2")), looks: calm, commits: 1, want: []string{"acknowledged before it began: write 6"}},
		{name: "one place for two", writes: append(slices.Clone(good), dbw(7, 139, 210, OK, "0-1-6")), looks: calm, commits: -1, want: []string{"one place in the order for two"}},
		{name: "two writable", writes: good, looks: append(slices.Clone(calm), looksOf("db1", 300, 420, false, true)...), commits: 1, want: []string{"was writable from"}},
		{name: "two writable, one without its agent", writes: good, looks: append(slices.Clone(calm), looksOf("db3", 200, 400, false, false)...), commits: 1},
		{name: "nobody looked", writes: good, commits: 1, unknown: true, want: []string{"nobody looked"}},
		{name: "nothing acknowledged", looks: calm, unknown: true, want: []string{"no write was acknowledged"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := OnePrimary(test.writes, test.looks, test.commits)
			if test.name == "two writable" { // one problem for each span
				if v.OK || len(v.Problems) == 0 || !strings.Contains(v.Problems[0], test.want[0]) {
					t.Errorf("%+v", v)
				}
				return
			}
			expect(t, v, test.unknown, test.want...)
		})
	}
}

// TestOneWritable: looks that are far apart say nothing about the time between.
func TestOneWritable(t *testing.T) {
	far := []DBLook{{"db1", 0, ms(1), false, true}, {"db1", ms(900), ms(901), false, true}}
	expect(t, OneWritable(append(far, looksOf("db2", 100, 700, false, true)...)), false)
	near := looksOf("db1", 0, 900, false, true)
	if v := OneWritable(append(near, looksOf("db2", 100, 200, false, true)...)); v.OK {
		t.Error("two were writable, and nobody noticed")
	}
}

func TestRising(t *testing.T) {
	see := func(who, of string, at int, value ...uint64) Sight {
		return Sight{who, of, ms(at), value, fmt.Sprint(value)}
	}
	good := []Sight{see("p1", "stamp", 1, 0, 5), see("p2", "stamp", 2, 0, 9), see("p1", "stamp", 3, 0, 7), see("p1", "configuration", 4, 1), see("p1", "stamp", 5, 1, 0)}
	expect(t, Rising(good), false)
	expect(t, Rising(append(slices.Clone(good), see("p1", "stamp", 6, 0, 8))), false, "p1: its stamp is [0 8] at 6ms, and was [1 0] at 5ms")
	expect(t, Rising(good[:2]), true, "nothing that any process holds ever changed")
}

func TestSettled(t *testing.T) {
	servers := []DBServer{{"db1", "a:1", true, "b:1"}, {"db2", "b:1", false, ""}, {"db3", "c:1", true, "b:1"}}
	proxies := []DBProxy{{"p1", "b:1", true}, {"p2", "b:1", true}}
	with := func(i int, s DBServer) []DBServer { l := slices.Clone(servers); l[i] = s; return l }
	expect(t, Settled("b:1", "", servers, proxies), false)
	expect(t, Settled("b:1", "g-7", servers, proxies), false, "switch g-7 is open")
	expect(t, Settled("b:1", "", with(1, DBServer{"db2", "b:1", true, ""}), proxies), false, "db2 is the primary of the record, and read-only")
	expect(t, Settled("b:1", "", with(1, DBServer{"db2", "b:1", false, "a:1"}), proxies), false, "db2 is the primary of the record, and replicates from a:1")
	expect(t, Settled("b:1", "", with(0, DBServer{"db1", "a:1", false, "b:1"}), proxies), false, "db1 is writable")
	expect(t, Settled("b:1", "", with(2, DBServer{"db3", "c:1", true, ""}), proxies), false, `db3 replicates from ""`)
	expect(t, Settled("b:1", "", servers, []DBProxy{{"p1", "a:1", true}, {"p2", "b:1", false}}), false, "p1 writes to", "p2 writes to")
	expect(t, Settled("d:1", "", servers[:1], proxies), true, "db1 replicates from", "none of 1 servers", "p1 writes", "p2 writes")
	expect(t, Settled("b:1", "", servers, nil), true, "no proxy was asked")
}

func TestDBHistory(t *testing.T) {
	var h DBHistory
	for _, w := range []DBWrite{dbw(2, 9, 12, OK, "0-1-2"), dbw(1, 3, 5, Unknown, "")} {
		if err := h.Add(w); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.Writes(); len(got) != 2 || got[0].ID != 1 {
		t.Errorf("%v", got)
	}
	var out strings.Builder
	if err := h.WriteJSONL(&out); err != nil || !strings.Contains(out.String(), `"gtid":"0-1-2"`) || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%v: %s", err, out.String())
	}
}
