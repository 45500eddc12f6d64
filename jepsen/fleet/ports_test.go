package fleet

import (
	"errors"
	"fmt"
	"net"
	"testing"
)

func TestPortsAreHandedOutOnce(t *testing.T) {
	a, b := NewPorts(), NewPorts()
	defer a.Close()
	defer b.Close()
	lo, hi := ephemeralRange()
	seen := make(map[int]bool)
	for range 20 {
		for _, p := range []*Ports{a, b} {
			ports, err := p.Take(10)
			if err != nil {
				t.Fatal(err)
			}
			for _, port := range ports {
				if seen[port] {
					t.Fatalf("port %d was handed out twice", port)
				}
				seen[port] = true
				if port >= lo && port <= hi {
					t.Errorf("port %d lies in the ephemeral range %d-%d", port, lo, hi)
				}
			}
		}
	}
}

func TestPortCanBeBoundWhileItIsClaimed(t *testing.T) {
	p := NewPorts()
	defer p.Close()
	ports, err := p.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", ports[0]))
	if err != nil {
		t.Fatalf("the port's user cannot have it: %v", err)
	}
	defer l.Close()
	if _, err := claimPort(ports[0]); err == nil {
		t.Fatal("a claimed port was claimed again")
	}
}

func TestPortInUseIsNotClaimed(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if _, err := claimPort(port); err == nil {
		t.Fatal("a port that somebody listens on was claimed")
	}
	l.Close()
	claim, err := claimPort(port)
	if err != nil {
		t.Fatalf("a failed claim was not given back: %v", err)
	}
	claim.Close()
}

func TestPortsAllOrNone(t *testing.T) {
	p := NewPorts()
	port := p.pick()
	p.pick = func() int { return port } // a machine with one port left
	if _, err := p.Take(2); !errors.Is(err, ErrNoPorts) {
		t.Fatalf("two ports of one: %v, want ErrNoPorts", err)
	}
	if got, err := p.Take(1); err != nil || got[0] != port {
		t.Fatalf("a failed Take kept its claim: %v, %v", got, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Take(1); !errors.Is(err, ErrClosed) {
		t.Errorf("Take after Close: %v, want ErrClosed", err)
	}
}

func TestPickOutside(t *testing.T) {
	tests := []struct {
		name   string
		lo, hi int
		want   func(int) bool
	}{
		{name: "usual", lo: 32768, hi: 60999, want: func(p int) bool { return p < 32768 || p > 60999 }},
		{name: "only above", lo: 1024, hi: 60000, want: func(p int) bool { return p > 60000 }},
		{name: "only below", lo: 20000, hi: 65535, want: func(p int) bool { return p < 20000 }},
		{name: "too few left", lo: 10005, hi: 65535, want: func(int) bool { return true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 10000 {
				if p := pickOutside(tt.lo, tt.hi); !tt.want(p) || p < lowestPort || p > highestPort {
					t.Fatalf("picked %d", p)
				}
			}
		})
	}
}
