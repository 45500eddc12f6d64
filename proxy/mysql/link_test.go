package mysql

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// scriptConn is a net.Conn that yields given bytes in pieces of random length and records what is written.
type scriptConn struct {
	net.Conn
	in       []byte
	rng      *rand.Rand
	most     int // bytes of one read
	out      bytes.Buffer
	writes   int
	failFrom int // writes from this one on fail; 0: none
}

func (c *scriptConn) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(c.in), 1+c.rng.IntN(c.most))
	copy(p, c.in[:n])
	c.in = c.in[n:]
	return n, nil
}

func (c *scriptConn) Write(p []byte) (int, error) {
	c.writes++
	if c.failFrom > 0 && c.writes >= c.failFrom {
		return 0, io.ErrClosedPipe
	}
	return c.out.Write(p)
}

func (c *scriptConn) Close() error                     { return nil }
func (c *scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptConn) SetWriteDeadline(time.Time) error { return nil }
func (c *scriptConn) SetDeadline(time.Time) error      { return nil }

// TestLinkPassesEveryByte passes packets of all sizes through a link, read in pieces of all sizes.
func TestLinkPassesEveryByte(t *testing.T) {
	for seed := range uint64(24) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var in []byte
		var sizes []int
		for range 20 {
			n := rng.IntN([]int{2, 40, 5000, 2 * workBufferSize}[rng.IntN(4)])
			payload := make([]byte, n)
			for i := range payload {
				payload[i] = byte(rng.Uint32())
			}
			sizes = append(sizes, n)
			in = appendPacket(in, byte(len(sizes)), payload)
		}
		src := &scriptConn{in: bytes.Clone(in), rng: rng, most: []int{1, 7, 1000, 1 << 20}[seed%4]}
		dst := &scriptConn{}
		from, to := link{nc: src}, link{nc: dst}
		if seed%2 == 0 {
			from.small = make([]byte, 64)
			from.buf = from.small
		}
		from.passTo(&to)
		for i, n := range sizes {
			h, err := from.peek(rng.IntN(600))
			if err != nil || h.size != n || h.seq != byte(i+1) {
				t.Fatalf("seed %d packet %d: %+v, %v", seed, i, h, err)
			}
			if seq, err := from.skipPacket(h); err != nil || seq != h.seq || from.split {
				t.Fatalf("seed %d packet %d: %v, split %v", seed, i, err, from.split)
			}
			if rng.IntN(5) == 0 {
				if err := from.pass(); err != nil {
					t.Fatal(err)
				}
				from.settle()
			}
		}
		if err := from.pass(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dst.out.Bytes(), in) {
			t.Fatalf("seed %d: %d bytes came out as %d others", seed, len(in), dst.out.Len())
		}
		from.settle()
		if seed%2 == 1 && from.buf != nil {
			t.Fatalf("seed %d: a link without a small buffer keeps %d bytes while idle", seed, len(from.buf))
		}
		if _, err := from.peek(0); !errors.Is(err, io.EOF) {
			t.Fatalf("at the end: %v", err)
		}
		from.drop()
	}
}

func TestLinkContinuedPackets(t *testing.T) {
	for _, n := range []int{maxPayload, maxPayload + 1} {
		payload := bytes.Repeat([]byte{0xfe}, n)
		in := appendPackets(nil, payload)
		in = appendPacket(in, 9, []byte("next"))
		rng := rand.New(rand.NewPCG(1, 1))
		dst := &scriptConn{}
		to := link{nc: dst}
		from := link{nc: &scriptConn{in: in, rng: rng, most: 1 << 30}, to: &to}
		h, err := from.peek(peekRow)
		if err != nil {
			t.Fatal(err)
		}
		seq, err := from.skipPacket(h)
		if err != nil || int(seq) != n/maxPayload {
			t.Fatalf("%d bytes: last sequence id %d, %v", n, seq, err)
		}
		if h, err = from.peek(10); err != nil || string(h.data) != "next" {
			t.Fatalf("%d bytes: then %+v, %v", n, h, err)
		}
		if err := from.pass(); err != nil {
			t.Fatal(err)
		}
		if from.drop(); !bytes.Equal(dst.out.Bytes(), in[:len(in)-8]) {
			t.Fatalf("%d bytes were not passed on as they came", n)
		}
		again := link{nc: &scriptConn{in: in, rng: rng, most: 1 << 30}}
		whole, _, err := again.readPayload(n)
		if err != nil || !bytes.Equal(whole, payload) {
			t.Fatalf("read %d of %d bytes, %v", len(whole), n, err)
		}
		again = link{nc: &scriptConn{in: in, rng: rng, most: 1 << 30}}
		if _, _, err := again.readPayload(n - 1); !errors.Is(err, errMalformed) {
			t.Fatalf("a payload above the limit: %v", err)
		}
	}
}

func TestLinkErrors(t *testing.T) {
	packet := appendPacket(nil, 1, make([]byte, 100_000))
	rng := rand.New(rand.NewPCG(1, 1))
	to := link{nc: &scriptConn{failFrom: 2}}
	from := link{nc: &scriptConn{in: packet, rng: rng, most: 5000}, to: &to}
	h, err := from.peek(0)
	if err != nil {
		t.Fatal(err)
	}
	var pass *passError
	if _, err := from.skipPacket(h); !errors.As(err, &pass) || !from.split {
		t.Errorf("failed to write: %v, split %v", err, from.split)
	}
	from = link{nc: &scriptConn{in: packet[:50_000], rng: rng, most: 5000}, to: &link{nc: &scriptConn{}}}
	if h, err = from.peek(0); err != nil {
		t.Fatal(err)
	}
	if _, err := from.skipPacket(h); !errors.Is(err, io.ErrUnexpectedEOF) || !from.split {
		t.Errorf("cut short: %v, split %v", err, from.split)
	}
	for n := 1; n < 8; n++ {
		from = link{nc: &scriptConn{in: appendPacket(nil, 0, []byte("abcd"))[:n], rng: rng, most: 1}}
		if _, err := from.peek(4); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of a packet: %v", n, err)
		}
	}
}

// fuzzSession is a session whose client is nobody, for the relay alone.
func fuzzSession(answer []byte, caps uint32) (*session, *backend, *scriptConn) {
	rng := rand.New(rand.NewPCG(uint64(len(answer)), 1))
	out := &scriptConn{}
	s := &session{client: link{nc: out}, state: sessionState{limit: 1000}}
	b := &backend{link: link{nc: &scriptConn{in: answer, rng: rng, most: 1 + len(answer)/3}}, caps: caps, epoch: 1}
	b.passTo(&s.client)
	return s, b, out
}

// FuzzRelay feeds the relay with answers: it must neither crash nor pass on anything but what came, in order.
func FuzzRelay(f *testing.F) {
	column := []byte("\x03def\x00\x00\x00\x01x\x00\x0c\x3f\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00")
	rows := func(deprecated bool) []byte {
		b := appendPacket(nil, 1, []byte{1})
		b = appendPacket(b, 2, column)
		end := []byte{headEOF, 0, 0, 2, 0}
		if deprecated {
			end = []byte{headEOF, 0, 0, 2, 0, 0, 0}
		} else {
			b = appendPacket(b, 3, end)
		}
		b = appendPacket(b, 4, []byte{1, '7'})
		return appendPacket(b, 5, end)
	}
	f.Add(rows(true), true)
	f.Add(rows(false), false)
	f.Add(appendPacket(nil, 1, appendOK(nil, statusAutocommit|statusMoreResults)), true)
	f.Add(appendPacket(nil, 1, appendERR(nil, &MySQLError{Code: 1, State: "HY000", Message: "m"})), true)
	f.Add(append(appendPacket(nil, 1, []byte{0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0}), rows(true)...), true)
	f.Add(appendPacket(nil, 1, []byte("\xfbfile")), false)
	f.Add([]byte{0xff, 0xff, 0xff, 1, 0xfe, 1, 2}, true)
	f.Fuzz(func(t *testing.T, answer []byte, deprecated bool) {
		caps := uint32(0)
		if deprecated {
			caps = capDeprecateEOF
		}
		for i, read := range []func(*session, *backend, *exchange) error{relayResults, relayFetched, relayOne,
			func(s *session, b *backend, x *exchange) error { return s.relayPrepared(b, x, &stmt{}) }} {
			s, b, out := fuzzSession(bytes.Clone(answer), caps)
			s.srv = &Server{cfg: Config{}.withDefaults()}
			s.client.small = make([]byte, 16)
			s.client.nc.(*scriptConn).rng = rand.New(rand.NewPCG(1, 1))
			x := &exchange{cmd: &command{raw: []byte{}, complete: true}, info: infoWrite}
			err := read(s, b, x)
			if err == nil {
				err = b.pass()
			}
			want := answer[:min(len(answer), out.out.Len())]
			if i < 3 && !bytes.Equal(out.out.Bytes(), want) {
				t.Errorf("reader %d passed on % x of % x (%v)", i, out.out.Bytes(), answer, err)
			}
			b.drop()
		}
		s, b, _ := fuzzSession(bytes.Clone(answer), caps)
		b.passTo(nil)
		if kind, row, err := readSingleRow(b); err == nil {
			if set, err := literal(kind, row); err == nil && set == "" {
				t.Error("an empty literal")
			}
		}
		b.drop()
		_ = s
	})
}

func TestExecuteLayout(t *testing.T) {
	head := []byte{comStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0}
	tests := []struct {
		name    string
		payload []byte
		params  int
		want    string
	}{
		{"no parameters", head, 0, "none"},
		{"bound", append(bytes.Clone(head), 0, 1, 3, 0, 253, 0, 9), 2, "bound at 11: 03 00 fd 00"},
		{"not bound", append(bytes.Clone(head), 0, 0, 9), 2, "not bound at 11"},
		{"nine parameters", append(append(bytes.Clone(head), 0, 0, 1), make([]byte, 18)...), 9, fmt.Sprintf("bound at 12: % x", make([]byte, 18))},
		{"no flag", append(bytes.Clone(head), 0), 2, "none"},
		{"types cut short", append(bytes.Clone(head), 0, 1, 3, 0, 253), 2, "none"},
		{"empty", nil, 1, "none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := "none"
			if l, ok := parseExecute(tt.payload, tt.params); ok && l.bound {
				got = fmt.Sprintf("bound at %d: % x", l.boundAt, l.types)
			} else if ok {
				got = fmt.Sprintf("not bound at %d", l.boundAt)
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func FuzzExecute(f *testing.F) {
	f.Add([]byte{comStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 9}, 2)
	f.Add([]byte{comStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 0, 253, 0, 9}, 2)
	f.Fuzz(func(t *testing.T, payload []byte, params int) {
		params = params & 0xffff
		l, ok := parseExecute(payload, params)
		if !ok || l.bound {
			return
		}
		types := bytes.Repeat([]byte{3, 0}, params)
		out := insertTypes(payload, l, types)
		again, ok := parseExecute(out, params)
		if !ok || !again.bound || !bytes.Equal(again.types, types) {
			t.Fatalf("types inserted into % x are not found in % x", payload, out)
		}
		if !bytes.Equal(out[:l.boundAt], payload[:l.boundAt]) || !bytes.Equal(out[l.boundAt+1+len(types):], payload[l.boundAt+1:]) {
			t.Fatalf("% x became % x", payload, out)
		}
	})
}
