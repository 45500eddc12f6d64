package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

type rulesOf = map[fault.Pair]fault.Rule

func cut(pairs ...fault.Pair) rulesOf {
	rules := make(rulesOf)
	for _, p := range pairs {
		rules[p] = fault.Rule{Cut: true}
	}
	return rules
}

func TestWholeNetwork(t *testing.T) {
	w := newWorld(t, 3)
	for from := fault.Driver; from < 3; from++ {
		for to := range 3 {
			if from == to {
				continue
			}
			caller, callee := w.connect(from, to)
			caller.says("ping")
			callee.hears("ping")
			callee.says("pong")
			caller.hears("pong")
			if got, want := callee.RemoteAddr().(*net.TCPAddr).IP.String(), w.Addr(from).String(); got != want {
				t.Errorf("to node %d, node %d comes from %s, want %s", to, from, got, want)
			}
			if err := caller.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			callee.hearsEnd(true)
			callee.says("last words") // an end is that of one direction
			caller.hears("last words")
			callee.Close()
			caller.hearsEnd(true)
		}
	}
	if n, err := w.Affected(); n != 0 || err != nil {
		t.Errorf("affected %d, %v", n, err)
	}
	if ns := w.Namespace(0); ns != "" {
		t.Errorf("namespace %q", ns)
	}
}

func TestDialMap(t *testing.T) {
	w := newWorld(t, 3)
	want := fmt.Sprintf("%s=%s,%s=%s", w.Listen(0), w.Dial(1, 0), w.Listen(2), w.Dial(1, 2))
	if got := w.DialMap(1); got != want {
		t.Errorf("node 1 has %q, want %q", got, want)
	}
	if got := strings.Count(w.DialMap(fault.Driver), "="); got != 3 {
		t.Errorf("the driver has %d relays, want 3", got)
	}
	for _, pair := range []fault.Pair{{From: 1, To: 1}, {From: 0, To: fault.Driver}, {From: 0, To: 3}} {
		if addr := w.Dial(pair.From, pair.To); addr != "" {
			t.Errorf("%v is %q", pair, addr)
		}
	}
	other := newWorld(t, 1)
	if other.Addr(0) == w.Addr(0) {
		t.Errorf("two networks have the same address %v", w.Addr(0))
	}
}

func TestCutOneWay(t *testing.T) {
	for _, dialler := range []int{0, 1} {
		t.Run(fmt.Sprintf("node %d dialled", dialler), func(t *testing.T) {
			w := newWorld(t, 2)
			ends := make([]*side, 2)
			ends[dialler], ends[1-dialler] = w.connect(dialler, 1-dialler)
			ends[0].says("before")
			ends[1].hears("before")

			w.set(cut(fault.Pair{From: 0, To: 1}))
			ends[0].says("under the cut")
			ends[1].says("the other way")
			ends[0].hears("the other way")
			ends[1].hearsNothing()
			if n, err := w.Affected(); n == 0 || err != nil {
				t.Errorf("affected %d, %v", n, err)
			}
			w.set(nil)
			ends[1].hears("under the cut")
			ends[1].says("and back")
			ends[0].hears("and back")
		})
	}
}

func TestCutHoldsUpEnds(t *testing.T) {
	for _, regular := range []bool{true, false} {
		t.Run(fmt.Sprintf("regular %t", regular), func(t *testing.T) {
			w := newWorld(t, 2)
			caller, callee := w.connect(0, 1)
			w.set(cut(fault.Pair{From: 0, To: 1}))
			if regular {
				caller.Close()
			} else {
				reset(caller.TCPConn)
			}
			callee.hearsNothing()
			w.set(nil)
			callee.hearsEnd(regular)
		})
	}
}

// TestCutHoldsUpRefusal sees that a writer does not learn through a cut that nobody reads any more.
func TestCutHoldsUpRefusal(t *testing.T) {
	w := newWorld(t, 2)
	caller, callee := w.connect(0, 1)
	w.set(cut(fault.Pair{From: 1, To: 0}))
	reset(callee.TCPConn)
	for range 5 {
		caller.says("is anybody there?")
	}
	caller.hearsNothing()
	w.set(nil)
	caller.hearsAnyEnd() // the kernel tells a writer or a reader of a reset, not both
}

func TestRefusalAfterAnEnd(t *testing.T) {
	w := newWorld(t, 2)
	caller, callee := w.connect(0, 1)
	callee.says("no more")
	callee.Close()
	caller.hears("no more")
	caller.hearsEnd(true)
	// The first write is answered by a reset, and one of the next fails.
	deadline := time.Now().Add(patience)
	for {
		caller.SetWriteDeadline(deadline)
		if _, err := fmt.Fprintln(caller, "still here"); isTimeout(err) || time.Now().After(deadline) {
			t.Fatal("the caller never learns that nobody reads")
		} else if err != nil {
			break
		}
	}
}

func TestNewConnectionsUnderACut(t *testing.T) {
	for name, pair := range map[string]fault.Pair{"there": {From: 0, To: 1}, "back": {From: 1, To: 0}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3)
			w.set(cut(pair))
			patient, hasty := w.dial(0, 1), w.dial(0, 1)
			patient.says("hello")
			hasty.says("hello?")
			hasty.Close()
			patient.hearsNothing()
			select {
			case <-w.accepted[1]:
				t.Error("a connection came through the cut")
			default:
			}
			caller, callee := w.connect(0, 2) // others are not concerned
			caller.says("hi")
			callee.hears("hi")

			w.set(nil)
			through := w.accept(1)
			through.hears("hello")
			through.says("hello yourself")
			patient.hears("hello yourself")
			select {
			case <-w.accepted[1]:
				t.Error("a connection that was given up was made")
			case <-time.After(silence):
			}
		})
	}
}

func TestDelay(t *testing.T) {
	const delay = 50 * time.Millisecond
	w := newWorld(t, 2)
	caller, callee := w.connect(0, 1)
	w.set(rulesOf{{From: 0, To: 1}: {Delay: delay}, {From: 1, To: 0}: {Delay: delay}})
	began := time.Now()
	caller.says("ping")
	callee.hears("ping")
	if took := time.Since(began); took < delay {
		t.Errorf("one way took %v", took)
	}
	callee.says("pong")
	caller.hears("pong")
	if took := time.Since(began); took < 2*delay {
		t.Errorf("both ways took %v", took)
	}
	if n, err := w.Affected(); n < 2 || err != nil {
		t.Errorf("affected %d, %v", n, err)
	}
}

// send sends data and closes; the result is its error.
func (s *side) send(data []byte) <-chan error {
	sent := make(chan error, 1)
	go func() {
		s.SetWriteDeadline(time.Now().Add(patience))
		_, err := s.Write(data)
		sent <- errors.Join(err, s.CloseWrite())
	}()
	return sent
}

func noise(n int) []byte {
	data := make([]byte, n)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data
}

func TestJitterKeepsTheOrder(t *testing.T) {
	w := newWorld(t, 2)
	caller, callee := w.connect(0, 1)
	w.set(rulesOf{{From: 0, To: 1}: {Delay: time.Millisecond, Jitter: 3 * time.Millisecond}})
	data := noise(2 << 20)
	sent := caller.send(data)
	callee.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(callee.r)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes arrived of %d, %v: equal %t", len(got), len(data), err, bytes.Equal(got, data))
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestCorrupt(t *testing.T) {
	w := newWorld(t, 2)
	caller, callee := w.connect(0, 1)
	w.set(rulesOf{{From: 0, To: 1}: {Corrupt: 1}})
	data := noise(200 << 10)
	sent := caller.send(data)
	callee.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(callee.r)
	if err != nil || len(got) != len(data) {
		t.Fatalf("%d bytes arrived of %d, %v", len(got), len(data), err)
	}
	var changed uint64
	for i := range got {
		if got[i] != data[i] {
			changed++
		}
	}
	if n, err := w.Affected(); n != changed || n < uint64(len(data)/pieceSize) || err != nil {
		t.Errorf("affected %d, %v, and %d bytes are changed", n, err, changed)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestCutIsBounded sees that a sender has to wait.
func TestCutIsBounded(t *testing.T) {
	w := newWorld(t, 2)
	caller, _ := w.connect(0, 1)
	w.set(cut(fault.Pair{From: 0, To: 1}))
	const much = 256 << 20 // more than all buffers of the kernel and the relay
	data := make([]byte, 1<<20)
	sent := 0
	for sent < much {
		caller.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := caller.Write(data)
		sent += n
		if isTimeout(err) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Errorf("%d bytes went into a cut", sent)
}

func TestNobodyListens(t *testing.T) {
	n, err := New(Config{Nodes: 1, Port: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	turnedAway(t, n.Dial(fault.Driver, 0))
}

func TestBadRules(t *testing.T) {
	w := newWorld(t, 2)
	caller, callee := w.connect(0, 1)
	good := fault.Pair{From: 0, To: 1}
	tests := []struct {
		name        string
		pair        fault.Pair
		rule        fault.Rule
		unsupported bool
	}{
		{name: "loss", pair: good, rule: fault.Rule{Loss: 0.1}, unsupported: true},
		{name: "duplicate", pair: good, rule: fault.Rule{Duplicate: 0.1}, unsupported: true},
		{name: "reorder", pair: good, rule: fault.Rule{Reorder: 0.1}, unsupported: true},
		{name: "no share", pair: good, rule: fault.Rule{Corrupt: 1.1}},
		{name: "negative delay", pair: good, rule: fault.Rule{Delay: -1}},
		{name: "endless jitter", pair: good, rule: fault.Rule{Jitter: 2 * maxDelay}},
		{name: "no such node", pair: fault.Pair{From: 0, To: 2}},
		{name: "no such place", pair: fault.Pair{From: -2, To: 0}},
		{name: "to itself", pair: fault.Pair{From: 1, To: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := w.Set(rulesOf{tt.pair: tt.rule, {From: 1, To: 0}: {Cut: true}})
			if err == nil || errors.Is(err, fault.ErrUnsupported) != tt.unsupported {
				t.Errorf("got %v, unsupported is to be %t", err, tt.unsupported)
			}
			callee.says("nothing has changed")
			caller.hears("nothing has changed")
		})
	}
}

func TestConfigValidate(t *testing.T) {
	for _, cfg := range []Config{{Nodes: 0, Port: 1}, {Nodes: 101, Port: 1}, {Nodes: 1}, {Nodes: 1, Port: 65536}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func TestCloseUnderACut(t *testing.T) {
	w := newWorld(t, 2)
	caller, callee := w.connect(0, 1)
	w.set(cut(fault.Pair{From: 0, To: 1}, fault.Pair{From: 1, To: 0}))
	held := w.dial(0, 1)
	caller.says("x")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Fatal("Close hangs")
	}
	for _, s := range []*side{caller, callee, held} {
		s.hearsAnyEnd()
	}
}
