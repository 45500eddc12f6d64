package fleet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
)

const (
	lowestPort   = 10000
	highestPort  = 65535
	portAttempts = 2000 // tries for one port before Take gives up
	fewPorts     = 1000 // an ephemeral range that leaves fewer is ignored
)

// ErrNoPorts is returned when no free port was found in a bounded number of tries.
var ErrNoPorts = errors.New("no free TCP port on 127.0.0.1")

// Ports hands out TCP ports of 127.0.0.1 that nothing listens on, each only once on the machine until Close.
//
// A TCP port that is held cannot be bound by the process it is meant for, and one that is let go can be taken by anybody.
// So the claim is a *UDP* socket on the same number, which nobody minds and only one claimant can have, and the number is
// outside the range from which the kernel takes the source ports of outgoing connections.
type Ports struct {
	pick func() int // a random port to try

	mu     sync.Mutex
	claims []net.PacketConn
	closed bool
}

// NewPorts returns a Ports without any claim.
func NewPorts() *Ports {
	lo, hi := ephemeralRange()
	return &Ports{pick: func() int { return pickOutside(lo, hi) }}
}

// ephemeralRange is the kernel's; its default when it cannot be read.
func ephemeralRange() (lo, hi int) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		if _, err = fmt.Sscan(string(text), &lo, &hi); err == nil && lo > 0 && lo <= hi && hi <= highestPort {
			return lo, hi
		}
	}
	return 32768, 60999
}

// Take claims n ports, or none and an error.
func (p *Ports) Take(n int) ([]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	ports := make([]int, 0, n)
	claims := make([]net.PacketConn, 0, n)
	for range n {
		port, claim, err := p.take()
		if err != nil {
			for _, c := range claims {
				err = errors.Join(err, c.Close())
			}
			return nil, err
		}
		ports = append(ports, port)
		claims = append(claims, claim)
	}
	p.claims = append(p.claims, claims...)
	return ports, nil
}

func (p *Ports) take() (int, net.PacketConn, error) {
	var last error
	for range portAttempts {
		port := p.pick()
		claim, err := claimPort(port)
		if err == nil {
			return port, claim, nil
		}
		last = err
	}
	return 0, nil, fmt.Errorf("%w: %w", ErrNoPorts, last)
}

// pickOutside picks a port below lo or above hi, or any when that leaves too few.
func pickOutside(lo, hi int) int {
	below, above := max(lo-lowestPort, 0), max(highestPort-hi, 0)
	if below+above < fewPorts {
		return lowestPort + rand.IntN(highestPort-lowestPort+1)
	}
	i := rand.IntN(below + above)
	if i < below {
		return lowestPort + i
	}
	return hi + 1 + i - below
}

// claimPort claims the number and sees that nothing listens on it, on loopback or on every address.
func claimPort(port int) (net.PacketConn, error) {
	claim, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		err = l.Close() // it had no connection, so nothing lingers
	}
	if err != nil {
		return nil, errors.Join(err, claim.Close())
	}
	return claim, nil
}

// Close gives all claims up.
func (p *Ports) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for _, c := range p.claims {
		errs = append(errs, c.Close())
	}
	p.claims = nil
	return errors.Join(errs...)
}
