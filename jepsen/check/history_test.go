package check

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var sample = []Op{
	{Client: 1, Kind: Write, Key: "a/b", Value: "<x>&\u2028", Call: 1, Return: 5, Outcome: OK, GotVersion: 1, Session: "s1", Seq: 1},
	{Client: 2, Kind: Read, Key: "a/b", Call: 2, Return: 3, Outcome: OK},
	{Client: 2, Kind: Read, Key: "a/b", Call: 4, Return: 9, Outcome: OK, Found: true, GotValue: "<x>&\u2028", GotVersion: 1, Node: "k2"},
	{Client: 3, Kind: CAS, Key: "a/b", Value: "y", Version: 7, Call: 6, Return: 8, Outcome: Refused, Error: "conflict"},
	{Client: 4, Kind: Write, Key: "a/b", Value: "z", Call: 7, Outcome: Unknown},
	{Client: 4, Kind: Write, Key: "a/b", Value: "z", Call: 9, Return: 10, Outcome: Failed},
}

func TestHistoryRoundTrip(t *testing.T) {
	var h History
	for _, op := range slices.Backward(sample) {
		h.Add(op)
	}
	var buf bytes.Buffer
	if err := h.WriteJSONL(&buf); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(buf.String(), "\n"); n != len(sample) {
		t.Errorf("%d lines, want %d", n, len(sample))
	}
	got, err := ReadJSONL(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Ops(), sample) {
		t.Errorf("read %+v, want %+v", got.Ops(), sample)
	}
}

func TestHistoryConcurrent(t *testing.T) {
	var h History
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			for i := range 100 {
				h.Add(Op{Client: client, Kind: Read, Call: time.Duration(i), Return: time.Duration(i), Outcome: OK})
				h.Ops()
			}
		})
	}
	wg.Wait()
	if h.Len() != 800 || h.Err() != nil || !slices.IsSortedFunc(h.Ops(), byCall) {
		t.Errorf("%d operations, error %v", h.Len(), h.Err())
	}
}

func TestHistoryRefuses(t *testing.T) {
	good := Op{Kind: Read, Call: 1, Return: 2, Outcome: OK}
	for _, c := range []struct {
		name   string
		change func(*Op)
	}{
		{"no kind", func(o *Op) { o.Kind = "" }},
		{"no outcome", func(o *Op) { o.Outcome = 0 }},
		{"an outcome that is none", func(o *Op) { o.Outcome = 9 }},
		{"before the start", func(o *Op) { o.Call = -1 }},
		{"returned before the call", func(o *Op) { o.Return = 0 }},
		{"a session without a sequence", func(o *Op) { o.Session = "s" }},
		{"a sequence without a session", func(o *Op) { o.Seq = 1 }},
		{"no UTF-8", func(o *Op) { o.Value = "\xff" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h History
			h.Add(good)
			bad := good
			c.change(&bad)
			h.Add(bad)
			if !errors.Is(h.Err(), ErrHistory) || h.Len() != 1 {
				t.Errorf("error %v, %d operations", h.Err(), h.Len())
			}
			if err := h.WriteJSONL(new(bytes.Buffer)); !errors.Is(err, ErrHistory) {
				t.Errorf("written: %v", err)
			}
		})
	}
}

func TestReadJSONLRefuses(t *testing.T) {
	good := `{"client":1,"kind":"read","call":1,"return":2,"outcome":"ok"}` + "\n"
	if h, err := ReadJSONL(strings.NewReader(good)); err != nil || h.Len() != 1 {
		t.Fatalf("%v", err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"no JSON", "x\n", "line 1"},
		{"an empty line", good + "\n" + good, "line 2"},
		{"an unknown field", `{"kind":"read","outcome":"ok","x":1}`, `unknown field "x"`},
		{"an unknown outcome", `{"kind":"read","outcome":"maybe"}`, `outcome "maybe"`},
		{"the empty outcome", `{"kind":"read","outcome":""}`, `outcome ""`},
		{"no outcome", `{"kind":"read"}`, "there is none"},
		{"two values", strings.TrimSpace(good) + good, "more than one value"},
		{"cut", good + good[:20], "line 2"},
		{"a line too long", good + `{"kind":"` + strings.Repeat("x", maxLine) + `"}`, "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadJSONL(strings.NewReader(c.text))
			if !errors.Is(err, ErrHistory) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzReadJSONL(f *testing.F) {
	var h History
	for _, op := range sample {
		h.Add(op)
	}
	var buf bytes.Buffer
	if err := h.WriteJSONL(&buf); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add([]byte(`{"kind":"read","outcome":"ok","call":1e3}`))
	f.Add([]byte(`{"kind":"read","outcome":"unknown","KEY":"\ud800"}` + "\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ReadJSONL(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrHistory) {
				t.Errorf("error %v", err)
			}
			return
		}
		var out bytes.Buffer
		if err := h.WriteJSONL(&out); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := ReadJSONL(&out)
		if err != nil || !slices.Equal(again.Ops(), h.Ops()) {
			t.Errorf("read again: %v, %+v, want %+v", err, again.Ops(), h.Ops())
		}
	})
}
