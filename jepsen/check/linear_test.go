package check

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// builders of operations, with times in milliseconds.
func write(client, call, ret int, value string, version uint64) Op {
	return Op{Client: client, Kind: Write, Key: "k", Value: value, Call: ms(call), Return: ms(ret), Outcome: OK, GotVersion: version}
}

func read(client, call, ret int, value string, version uint64) Op {
	return Op{Client: client, Kind: Read, Key: "k", Call: ms(call), Return: ms(ret), Outcome: OK, Found: version > 0, GotValue: value, GotVersion: version}
}

func cas(client, call, ret int, compare uint64, value string, outcome Outcome) Op {
	return Op{Client: client, Kind: CAS, Key: "k", Value: value, Version: compare, Call: ms(call), Return: ms(ret), Outcome: outcome}
}

func with(op Op, outcome Outcome) Op {
	op.Outcome, op.GotVersion, op.GotValue, op.Found = outcome, 0, "", false
	return op
}

func versionless(op Op) Op {
	op.GotVersion = 0
	return op
}

func TestLinearizable(t *testing.T) {
	for _, c := range []struct {
		name string
		ops  []Op
		want string // see wantVerdict
	}{
		{"one after another", []Op{read(0, 0, 1, "", 0), write(1, 2, 3, "a", 1), read(2, 4, 5, "a", 1), cas(3, 6, 7, 1, "b", OK), read(0, 8, 9, "b", 2)}, ""},
		{"a read during a write sees either", []Op{write(1, 0, 10, "a", 1), read(2, 2, 3, "", 0), read(3, 4, 5, "a", 1)}, ""},
		{"stale read", []Op{write(1, 0, 1, "a", 1), write(1, 2, 3, "b", 2), read(2, 4, 5, "a", 1)}, "not linearizable"},
		{"stale read without versions", []Op{versionless(write(1, 0, 1, "a", 1)), versionless(write(1, 2, 3, "b", 2)), versionless(read(2, 4, 5, "a", 1))}, "not linearizable"},
		{"read goes back during a write", []Op{write(1, 0, 10, "a", 1), read(2, 2, 3, "a", 1), read(3, 4, 5, "", 0)}, "not linearizable"},
		{"lost write", []Op{write(1, 0, 1, "a", 1), read(2, 4, 5, "", 0)}, "not linearizable"},
		{"lost write, by version", []Op{write(1, 0, 1, "a", 1), write(2, 2, 3, "b", 1)}, "not linearizable"},
		{"a value that nobody wrote", []Op{write(1, 0, 1, "a", 1), read(2, 2, 3, "x", 1)}, "not linearizable"},
		{"a write done twice", []Op{write(1, 0, 1, "a", 1), read(2, 2, 3, "a", 2)}, "not linearizable"},
		{"cas of what is not there", []Op{cas(1, 0, 1, 0, "a", OK), cas(2, 2, 3, 0, "b", Refused), read(2, 4, 5, "a", 1)}, ""},
		{"two cas of one version", []Op{write(0, 0, 1, "a", 1), cas(1, 2, 9, 1, "b", OK), cas(2, 2, 9, 1, "c", OK)}, "not linearizable"},
		{"a cas refused for no reason", []Op{write(0, 0, 1, "a", 1), cas(1, 2, 3, 1, "b", Refused)}, "not linearizable"},
		{"a cas done for no reason", []Op{write(0, 0, 1, "a", 1), cas(1, 2, 3, 0, "b", OK)}, "not linearizable"},
		{"a write refused", []Op{write(0, 0, 1, "a", 1), with(write(1, 2, 3, "b", 0), Refused)}, "not linearizable"},
		{"unknown, done", []Op{with(write(1, 0, 0, "a", 0), Unknown), read(2, 4, 5, "a", 1)}, ""},
		{"unknown, done late", []Op{with(write(1, 0, 0, "a", 0), Unknown), read(2, 4, 5, "", 0), read(2, 6, 7, "a", 1)}, ""},
		{"unknown, not done", []Op{with(write(1, 0, 0, "a", 0), Unknown), read(2, 4, 5, "", 0), write(2, 6, 7, "b", 1)}, ""},
		{"unknown, seen and gone", []Op{with(write(1, 0, 0, "a", 0), Unknown), read(2, 4, 5, "a", 1), read(2, 6, 7, "", 0)}, "not linearizable"},
		{"unknown, seen before it was called", []Op{read(2, 1, 2, "a", 1), with(write(1, 4, 0, "a", 0), Unknown)}, "not linearizable"},
		{"failed and not seen", []Op{with(write(1, 0, 1, "a", 0), Failed), read(2, 4, 5, "", 0)}, ""},
		{"failed and seen", []Op{with(write(1, 0, 1, "a", 0), Failed), read(2, 4, 5, "a", 1)}, "not linearizable"},
		{"a read without an answer", []Op{write(1, 0, 1, "a", 1), with(read(2, 4, 0, "", 0), Unknown)}, ""},
		{"two keys", []Op{write(1, 0, 1, "a", 1), {Kind: Read, Key: "other", Call: ms(2), Return: ms(3), Outcome: OK}}, ""},
		{"no register", []Op{write(1, 0, 1, "a", 1), {Kind: "append", Key: "k", Call: 1, Return: 2, Outcome: OK}}, "?no kind of a register"},
		{"nothing", nil, "?no operation"},
		{"only failures", []Op{with(write(1, 0, 1, "a", 0), Failed)}, "?no operation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantVerdict(t, Linearizable(c.ops, LinearizableOptions{}), c.want)
		})
	}
}

// TestLinearizableFolds: two attempts of one write are one write.
func TestLinearizableFolds(t *testing.T) {
	first, second := with(write(1, 0, 0, "a", 0), Unknown), write(1, 5, 6, "a", 1)
	first.Session, first.Seq, second.Session, second.Seq = "s", 1, "s", 1
	ops := []Op{first, read(2, 1, 2, "a", 1), second, read(2, 8, 9, "a", 1)}
	wantOK(t, Linearizable(ops, LinearizableOptions{}))
	ops[2].GotVersion = 2
	wantProblem(t, Linearizable(ops, LinearizableOptions{}), "not linearizable")
}

// played is a history of clients with a register that is linearizable, ops operations on each of keys.
func played(seed uint64, keys, ops, clients int) []Op {
	rng := rand.New(rand.NewPCG(seed, 2))
	var history []Op
	for k := range keys {
		var now register
		free := make([]time.Duration, clients)
		for i := range ops {
			client := slices.Index(free, slices.Min(free))
			op := Op{Client: client, Key: fmt.Sprintf("k%d", k), Call: free[client] + time.Duration(rng.IntN(100)), Outcome: OK}
			// Operations take effect in this order; each call is before that, each return after.
			effect := time.Duration(i+1) * 1000
			op.Call = min(op.Call, effect)
			op.Return = effect + time.Duration(rng.IntN(3000))
			free[client] = op.Return + 1
			switch rng.IntN(3) {
			case 0:
				op.Kind, op.Found, op.GotValue, op.GotVersion = Read, now.found, now.value, now.version
			case 1:
				now = register{true, fmt.Sprintf("v%d", i), now.version + 1}
				op.Kind, op.Value, op.GotVersion = Write, now.value, now.version
			case 2:
				op.Kind, op.Value, op.Version = CAS, fmt.Sprintf("v%d", i), now.version
				if rng.IntN(2) == 0 {
					op.Version++
					op.Outcome = Refused
					break
				}
				now = register{true, op.Value, now.version + 1}
				op.GotVersion = now.version
			}
			history = append(history, op)
		}
	}
	return history
}

// TestLinearizablePlayed: random good histories pass, and fail when one answer is changed to an older one.
func TestLinearizablePlayed(t *testing.T) {
	for seed := range uint64(4) {
		ops := played(seed, 2, 80, 8)
		wantOK(t, Linearizable(ops, LinearizableOptions{}))
		i := slices.IndexFunc(ops, func(op Op) bool { return op.Kind == Read && op.GotVersion > 16 })
		ops[i].GotVersion -= 12
		wantProblem(t, Linearizable(ops, LinearizableOptions{}), "not linearizable")
	}
}

func TestLinearizableSize(t *testing.T) {
	begin := time.Now()
	wantOK(t, Linearizable(played(1, 10, 300, 8), LinearizableOptions{}))
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("10 keys of 300 operations took %v", took)
	}
	wantUndecided(t, Linearizable(played(1, 1, 301, 8), LinearizableOptions{}), "301 operations, at most 300")
}

// hard is the worst case for a search: not linearizable, and unknown writes that could stand anywhere. No versions.
func hard() []Op {
	rng := rand.New(rand.NewPCG(4, 5))
	var ops []Op
	for _, op := range played(7, 1, 2000, 8) {
		op = versionless(op)
		if op.Kind == CAS {
			op = versionless(write(op.Client, 0, 0, op.Value, 0))
			op.Key, op.Call, op.Return = "k0", time.Duration(len(ops)+1)*1000, time.Duration(len(ops)+1)*1000+3000
		}
		if op.Kind == Write && rng.IntN(50) == 0 {
			op = with(op, Unknown)
		}
		ops = append(ops, op)
	}
	ops = append(ops, Op{Kind: Read, Key: "k0", Call: time.Hour, Return: time.Hour + 1, Outcome: OK, Found: true, GotValue: "never written"})
	return ops
}

func TestLinearizableTimeout(t *testing.T) {
	page := filepath.Join(t.TempDir(), "hard.html")
	begin := time.Now()
	v := Linearizable(hard(), LinearizableOptions{Timeout: 300 * time.Millisecond, MaxPerKey: 3000, HTML: page})
	wantUndecided(t, v, "not decided within 300ms")
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("a timeout of 300 ms took %v", took)
	}
	if _, err := os.Stat(page); err != nil {
		t.Error(err)
	}
}

func TestLinearizableDrawing(t *testing.T) {
	page := filepath.Join(t.TempDir(), "bad.html")
	ops := []Op{write(1, 0, 1, "a", 1), write(1, 2, 3, "b", 2), read(2, 4, 5, "a", 1), with(write(3, 4, 0, "c", 0), Unknown)}
	v := Linearizable(ops, LinearizableOptions{HTML: page})
	wantProblem(t, v, "key k: 4 operations are not linearizable")
	if v.Stats["drawn"] != "k" {
		t.Errorf("stats %v", v.Stats)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(`client 2: read k at 4ms..5ms ok`)) {
		t.Error("the drawing does not show the read")
	}
	wantUndecided(t, Linearizable(ops, LinearizableOptions{HTML: filepath.Join(page, "x")}), "draw key k")
	good := filepath.Join(t.TempDir(), "good.html")
	wantOK(t, Linearizable(ops[:2], LinearizableOptions{HTML: good}))
	if _, err := os.Stat(good); err == nil {
		t.Error("a good history was drawn")
	}
}
