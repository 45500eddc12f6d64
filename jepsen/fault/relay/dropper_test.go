package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

func newDropper(t *testing.T, cfg DropperConfig) *Dropper {
	t.Helper()
	d, err := NewDropper(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

func call(t *testing.T, d *Dropper) *side {
	t.Helper()
	conn, err := net.DialTimeout("tcp", d.Addr(), patience)
	if err != nil {
		t.Fatal(err)
	}
	return newSide(t, conn.(*net.TCPConn))
}

// ask sends a request; lost tells that the connection ended instead of an answer.
func (s *side) ask() (lost bool) {
	s.t.Helper()
	s.says("add")
	s.SetReadDeadline(time.Now().Add(patience))
	_, err := s.r.ReadString('\n')
	if isTimeout(err) {
		s.t.Fatal("neither an answer nor an end")
	}
	return err != nil
}

func TestDropperLosesAnswersOnly(t *testing.T) {
	const requests = 200
	pattern := func(seed uint64) (lost []int) {
		addr, served := answer(t)
		d := newDropper(t, DropperConfig{Target: addr, Share: 0.3, Seed: seed, First: true})
		c := call(t, d)
		for i := range requests {
			if c.ask() {
				lost = append(lost, i)
				c = call(t, d)
			}
		}
		if served() != requests {
			t.Errorf("%d of %d requests reached the server", served(), requests)
		}
		if n, err := d.Affected(); n != uint64(len(lost)) || err != nil || d.Answers() != requests {
			t.Errorf("affected %d, %v, of %d, and %d answers of %d were lost", n, err, d.Answers(), len(lost), requests)
		}
		if len(lost) < 30 || len(lost) > 90 {
			t.Errorf("%d of %d answers were lost, want about 60", len(lost), requests)
		}
		return lost
	}
	first := pattern(1)
	if !slices.Equal(first, pattern(1)) {
		t.Error("the same seed loses other answers")
	}
	if slices.Equal(first, pattern(2)) {
		t.Error("another seed loses the same answers")
	}
}

func TestDropperSparesTheFirst(t *testing.T) {
	addr, served := answer(t)
	d := newDropper(t, DropperConfig{Target: addr, Share: 1})
	for range 3 {
		c := call(t, d)
		if c.ask() {
			t.Error("the first answer was lost")
		}
		if !c.ask() {
			t.Error("the second answer came")
		}
	}
	if n, err := d.Affected(); n != 3 || err != nil || served() != 6 {
		t.Errorf("affected %d, %v, of %d", n, err, served())
	}
	if err := d.SetShare(0); err != nil {
		t.Fatal(err)
	}
	c := call(t, d)
	for range 10 {
		if c.ask() {
			t.Fatal("with a share of 0 an answer was lost")
		}
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.hearsEnd(true)
}

func TestDropperWhatIsNoAnswer(t *testing.T) {
	w := newWorld(t, 1)
	d := newDropper(t, DropperConfig{Target: w.Listen(0), Share: 1, First: true})
	client := call(t, d)
	server := w.accept(0)
	for i := range 5 { // it speaks without having been asked
		server.says(fmt.Sprint(i))
		client.hears(fmt.Sprint(i))
	}
	client.says("ask")
	server.hears("ask")
	server.says("answer")
	client.hearsEnd(false)
	server.hearsEnd(false)
}

func TestDropperEnds(t *testing.T) {
	w := newWorld(t, 1)
	d := newDropper(t, DropperConfig{Target: w.Listen(0)})
	client := call(t, d)
	server := w.accept(0)
	reset(client.TCPConn)
	server.hearsEnd(false)

	client = call(t, d)
	server = w.accept(0)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*side{client, server} {
		s.hearsAnyEnd()
	}
	if conn, err := net.Dial("tcp", d.Addr()); err == nil {
		conn.Close()
		t.Error("after Close it listens")
	}
}

func TestDropperWithoutServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	d := newDropper(t, DropperConfig{Target: ln.Addr().String()})
	turnedAway(t, d.Addr())
}

func TestDropperConfigValidate(t *testing.T) {
	for _, cfg := range []DropperConfig{{}, {Target: "x", Share: 2}, {Target: "x", Share: -1}} {
		if _, err := NewDropper(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
	addr, _ := answer(t)
	if err := newDropper(t, DropperConfig{Target: addr}).SetShare(1.5); err == nil {
		t.Error("a share of 1.5 was taken")
	}
}

// TestTooManyConnections sees that a relay turns away what is too much, and goes on.
func TestTooManyConnections(t *testing.T) {
	s, err := serve("127.0.0.1:0", func(ctx context.Context, conn *net.TCPConn) {
		_, _ = io.Copy(conn, conn)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var sides []*side
	for range maxConns {
		conn, err := net.DialTimeout("tcp", s.addr(), patience)
		if err != nil {
			t.Fatal(err)
		}
		sides = append(sides, newSide(t, conn.(*net.TCPConn)))
	}
	last := sides[maxConns-1]
	last.says("in")
	last.hears("in")
	turnedAway(t, s.addr())
	last.says("still in")
	last.hears("still in")
}
