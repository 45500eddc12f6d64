package wire

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tcpPair is a connection over loopback, both ends of it.
func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// invokers serves an invoker on each end of a connection until the test ends.
func invokers(t testing.TB, left, right Config) (a, b *Invoker) {
	t.Helper()
	connA, connB := tcpPair(t)
	return serve(t, connA, Principal{Role: "keeper", ID: "k1"}, left), serve(t, connB, Principal{Role: "proxy", ID: "p1"}, right)
}

func serve(t testing.TB, conn net.Conn, p Principal, cfg Config) *Invoker {
	t.Helper()
	inv, err := NewInvoker(conn, p, cfg)
	if err != nil {
		t.Fatal(err)
	}
	start(t, inv)
	return inv
}

// start serves inv until the test ends.
func start(t testing.TB, inv *Invoker) {
	served := make(chan struct{})
	go func() {
		defer close(served)
		if inv.Serve(context.Background()) == nil {
			t.Error("Serve returned nil")
		}
	}()
	t.Cleanup(func() {
		inv.Close()
		<-served
	})
}

// eventually waits for a condition, for ten seconds at most.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// rawFrame is one op-2 frame with m.
func rawFrame(t testing.TB, m *Message) []byte {
	t.Helper()
	payload, err := AppendMessage(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return rawPayload(t, payload)
}

func rawPayload(t testing.TB, payload []byte) []byte {
	t.Helper()
	frame, err := AppendFrame(nil, OpInvoke, RandomMask(), payload)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// readMessage reads one message from a raw connection, pings left out.
func readMessage(t testing.TB, conn net.Conn) Message {
	t.Helper()
	for {
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, payload, err := ReadFrame(conn, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := DecodeMessage(payload)
		if err != nil {
			t.Fatal(err)
		}
		if m.Name != Ping {
			return m
		}
	}
}
