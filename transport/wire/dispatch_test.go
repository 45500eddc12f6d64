package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// TestBadInput sends what a peer should not.
func TestBadInput(t *testing.T) {
	request := func(id uint64) []byte { return rawFrame(t, &Message{Kind: KindRequest, ID: id, Name: "Echo"}) }
	malformed := func(kind byte) []byte {
		return rawPayload(t, []byte{kind, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff})
	}
	flipped := request(1)
	flipped[len(flipped)-1] ^= 1
	otherOp := bytes.Clone(request(1))
	otherOp[4] = OpAgent
	version2 := bytes.Clone(request(1))
	version2[3] = 2
	for _, test := range []struct {
		name string
		send []byte
		want api.Code // of the answer to id 9; -1: the connection is closed; 0: nothing, it lives on
	}{
		{"malformed request", malformed(1), api.BadRequest},
		{"malformed one-way", malformed(2), 0},
		{"malformed response", malformed(3), -1},
		{"malformed part", malformed(5), -1},
		{"unknown kind", malformed(77), -1},
		{"no id to answer", rawPayload(t, []byte{1, 0, 9}), -1},
		{"empty payload", rawPayload(t, nil), -1},
		{"id of the ping", append(request(0), request(9)...), 0},
		{"bad checksum", flipped, -1},
		{"op 0 within op 2", otherOp, -1},
		{"version 2", version2, -1},
		{"no frame at all", []byte("GET / HTTP/1.1\r\n\r\n"), -1},
		{"answer to nothing", rawFrame(t, &Message{Kind: KindResponse, ID: 5}), 0},
		{"part of nothing", rawFrame(t, &Message{Kind: KindPart, ID: 5}), 0},
		{"cancel of nothing", rawFrame(t, &Message{Kind: KindCancel, ID: 5}), 0},
		{"id twice in flight", append(rawFrame(t, &Message{Kind: KindRequest, ID: 9, Name: "Wait"}), request(9)...), -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			connA, connB := tcpPair(t)
			handler := Handlers{"Echo": echo, "Wait": func(ctx context.Context, _ *Request) (*Response, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}
			serve(t, connA, Principal{}, Config{Handler: handler.Serve})
			if _, err := connB.Write(test.send); err != nil {
				t.Fatal(err)
			}
			switch {
			case test.want > 0:
				if m := readMessage(t, connB); m.ID != 9 || m.Code != test.want {
					t.Errorf("answer %+v, want code %d", m, test.want)
				}
			case test.want < 0:
				wantClosed(t, connB)
				return
			}
			if _, err := connB.Write(request(77)); err != nil {
				t.Fatal(err)
			}
			for {
				m := readMessage(t, connB)
				if m.ID == 77 {
					break
				}
			}
		})
	}
}

// wantClosed reads until the peer closes.
func wantClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("not closed")
	}
	if len(b) > 0 {
		t.Errorf("%d bytes before the close", len(b))
	}
}

// TestFrameMustBeWholeInTime has a peer that begins a frame and stops.
func TestFrameMustBeWholeInTime(t *testing.T) {
	frame := rawFrame(t, &Message{Kind: KindOneWay, Name: "N", Body: make([]byte, 100)})
	for _, n := range []int{1, HeaderSize, HeaderSize + 50} {
		connA, connB := tcpPair(t)
		inv := serve(t, connA, Principal{}, Config{FrameTimeout: 20 * time.Millisecond, PingInterval: time.Hour})
		if _, err := connB.Write(frame); err != nil { // a whole one leaves no deadline behind
			t.Fatal(err)
		}
		eventually(t, "the whole frame was taken", func() bool { return inv.cfg.Counters.OneWays.Load() == 1 })
		time.Sleep(2 * inv.cfg.FrameTimeout)
		if inv.Err() != nil {
			t.Fatalf("an idle connection ended: %v", inv.Err())
		}
		if _, err := connB.Write(frame[:n]); err != nil {
			t.Fatal(err)
		}
		<-inv.Done()
		if !errors.Is(inv.Err(), os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes: ended with %v", n, inv.Err())
		}
	}
}

// TestPeerThatDoesNotRead asks without end and never reads.
func TestPeerThatDoesNotRead(t *testing.T) {
	connA, connB := tcpPair(t)
	inv := serve(t, connA, Principal{}, Config{Handler: echo, MaxQueued: 1000, WriteTimeout: 50 * time.Millisecond, MaxInFlight: 8})
	go func() {
		for id := uint64(1); ; id++ {
			m := Message{Kind: KindRequest, ID: id, Name: "Echo", Body: make([]byte, 100<<10)}
			if _, err := connB.Write(rawFrame(t, &m)); err != nil {
				return
			}
		}
	}()
	select {
	case <-inv.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the connection lives on")
	}
	if err := inv.Err(); !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, ErrOverload) {
		t.Errorf("ended with %v", err)
	}
	connB.Close()
}
