package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

func FuzzReadFrame(f *testing.F) {
	g := loadGolden(f)
	for _, list := range [][]goldenFrame{g.Frames, g.EdgeFrames, g.Variants} {
		for _, frame := range list {
			f.Add(unhex(f, frame.Hex))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := ReadFrame(bytes.NewReader(b), nil)
		if err != nil {
			return
		}
		again, err := AppendFrame(nil, h.Op, h.Mask, payload)
		if err != nil {
			t.Fatal(err)
		}
		again[3] = h.Version // 0 is read, 1 is written
		if !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("%x is encoded as %x", b, again)
		}
	})
}

func FuzzMessage(f *testing.F) {
	for _, m := range sampleMessages() {
		b, err := AppendMessage(nil, &m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(b)
		if err != nil {
			if m.Kind != 0 && len(b) < messageHead {
				t.Fatalf("%d bytes have kind %d", len(b), m.Kind)
			}
			return
		}
		again, err := AppendMessage(nil, &m)
		if len(b) <= MaxPayload && (err != nil || !bytes.Equal(again, b)) {
			t.Fatalf("%x is encoded as %x, %v", b, again, err)
		}
	})
}

// FuzzBodies reads every body of ops 0 and 1 from the same bytes. What was read
// comes back as a prefix, since bytes after the last field are ignored.
func FuzzBodies(f *testing.F) {
	for _, frame := range loadGolden(f).Frames {
		f.Add(unhex(f, frame.Header.PayloadPlainHex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(what string, again []byte, err error) {
			if err == nil && !bytes.HasPrefix(b, again) {
				t.Fatalf("%s: %x is encoded as %x", what, b, again)
			}
		}
		request, err := DecodeAgentRequest(b)
		check("agent request", request.Append(nil), err)
		response, err := DecodeAgentResponse(b)
		check("agent response", response.Append(nil), err)
		update, err := DecodeUpdateRequest(b)
		check("update", update.Append(nil), err)
		query, err := DecodeQueryRequest(b)
		check("query", query.Append(nil), err)
		found, err := DecodeQueryResponse(b)
		check("query response", found.Append(nil), err)
		traffic, err := DecodeTrafficRequest(b)
		check("traffic request", traffic.Append(nil), err)
	})
}

// FuzzInvoker sends arbitrary messages, each in a good frame, to a live invoker: it
// must neither panic nor hang, and end when the peer does.
func FuzzInvoker(f *testing.F) {
	var all []byte
	for _, m := range sampleMessages() {
		b, err := AppendMessage(nil, &m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint8(len(b)))
		all = append(all, b...)
	}
	f.Add(all, uint8(20))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		here, there := net.Pipe()
		inv, err := NewInvoker(there, Principal{}, Config{Handler: echo, MaxQueued: 1 << 16})
		if err != nil {
			t.Fatal(err)
		}
		served, read := make(chan struct{}), make(chan struct{})
		go func() { defer close(served); inv.Serve(context.Background()) }() //nolint:errcheck // it ends as the peer does
		go func() { defer close(read); io.Copy(io.Discard, here) }()         //nolint:errcheck // same
		pending := make(chan struct{})
		go func() { defer close(pending); inv.Call(t.Context(), "N", nil, nil) }() //nolint:errcheck // answered by chance
		for part := range slices.Chunk(b, int(cut)+1) {
			frame, err := AppendFrame(nil, OpInvoke, Mask{}, part)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := here.Write(frame); err != nil {
				break
			}
		}
		here.Close()
		for _, ch := range []chan struct{}{served, read, pending} {
			select {
			case <-ch:
			case <-time.After(10 * time.Second):
				t.Fatal("it hangs")
			}
		}
	})
}
