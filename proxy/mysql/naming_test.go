package mysql

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/zerokeeper/zero/proxy/gate"
)

// TestSilentPrimaryIsLeftAtOnce: whoever waits for a connection to a primary whose host is gone goes on as soon as
// another one is named, and not when the connecting has timed out.
func TestSilentPrimaryIsLeftAtOnce(t *testing.T) {
	const silent, bound = "silent.invalid:3306", 10 * time.Second
	tests := []struct{ name, query string }{
		{"write", "DELETE FROM t"},
		{"transaction", "BEGIN"},
		{"read", "SELECT 1"},
		{"setting", "SET @x = 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := (&fakeServer{}).start(t)
			p, dialed := silentProxy(t, silent, 2*bound)
			if err := p.gate.SetPrimary(gate.Primary{Address: silent, Generation: 1}); err != nil {
				t.Fatal(err)
			}
			c := raw(t, p.addr, rawCaps)
			c.send(comQuery, []byte(tt.query)...)
			select {
			case <-dialed:
			case <-time.After(bound):
				t.Fatal("nobody connects")
			}
			movedTo(t, p, f.addr, bound, c)
		})
	}
}

// silentProxy is a proxy that connects to that address for so long, in vain. It says when it begins to.
func silentProxy(t *testing.T, silent string, timeout time.Duration) (p *testProxy, dialed chan struct{}) {
	dialed = make(chan struct{}, 1)
	return newProxy(t, "", func(cfg *Config) {
		cfg.Dialer.Timeout, cfg.Handshake = timeout, timeout
		cfg.Dialer.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != silent {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}
			select {
			case dialed <- struct{}{}:
			default:
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}), dialed
}

// TestLoginLeavesASilentPrimary: a login that waits for the primary, to ask it for the database, is over when the gate
// is held.
func TestLoginLeavesASilentPrimary(t *testing.T) {
	const silent, bound = "silent.invalid:3306", 10 * time.Second
	p, dialed := silentProxy(t, silent, 2*bound)
	p.open(t, silent)
	in := make(chan error, 1)
	go func() {
		nc, _, err := Dialer{Timeout: 2 * bound}.dial(t.Context(), p.addr, loginParams{user: testUser, password: testPassword,
			caps: capAdvertised, database: "shop", collation: 45, maxPacket: 1 << 24})
		if err == nil {
			err = nc.Close()
		}
		in <- err
	}()
	<-dialed
	p.gate.Hold()
	select {
	case err := <-in:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(bound):
		t.Error("the login still waits")
		<-in
	}
}

// movedTo names another primary, opens the gate, and expects the answer that the client waits for.
func movedTo(t *testing.T, p *testProxy, address string, bound time.Duration, c *rawClient) {
	t.Helper()
	named := gate.Primary{Address: address, Generation: 3}
	if err := p.gate.SetPrimary(named); err != nil {
		t.Fatal(err)
	}
	if err := p.gate.Open(named, forever); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if r := c.result(); r.err != nil {
		t.Errorf("after the switch: %v", r.err)
	}
	if took := time.Since(began); took > bound {
		t.Errorf("answered %v after the switch", took)
	}
}

// TestSilentWhileRestoring: the same with a primary that fell silent after the login.
func TestSilentWhileRestoring(t *testing.T) {
	const bound = 10 * time.Second
	over := make(chan struct{})
	mute := (&fakeServer{answer: func(int, []byte) ([]byte, bool) { <-over; return nil, true }}).start(t)
	t.Cleanup(func() { close(over) })
	f := (&fakeServer{}).start(t)
	p := newProxy(t, f.addr, func(cfg *Config) { cfg.Dialer.Timeout = 2 * bound })
	c := raw(t, p.addr, rawCaps)
	c.must("SET @x = 1")
	p.gate.Hold()
	if err := p.gate.SetPrimary(gate.Primary{Address: mute.addr, Generation: 2}); err != nil {
		t.Fatal(err)
	}
	c.send(comQuery, []byte("DELETE FROM t")...)
	eventually(t, "the session is being restored", func() bool { return mute.seen() != "" })
	movedTo(t, p, f.addr, bound, c)
}
