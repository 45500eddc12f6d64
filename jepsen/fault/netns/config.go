package netns

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/zerokeeper/zero/jepsen/fault"
)

const (
	// maxNodes bounds a network. A run has 3 to 9 nodes.
	maxNodes = 32
	// DefaultQueuePackets bounds what one direction holds back.
	DefaultQueuePackets = 2000
	maxQueuePackets     = 100_000
	// driverHost is the last byte of the driver's address; node i has i+1.
	driverHost = 254
	prefixBits = 24
)

var prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 0, 0}), prefixBits)

// ErrClosed is what a closed network answers.
var ErrClosed = errors.New("the network is closed")

// Config describes a network.
type Config struct {
	// Nodes is how many there are, at least 1.
	Nodes int
	// Seed is what Switch draws from.
	Seed uint64
	// CorruptAbove lets Switch repair the TCP checksum of one in two of the packets that it corrupts, so that the changed byte
	// reaches the program. Otherwise the receiver's kernel drops all of them.
	CorruptAbove bool
	// QueuePackets bounds how many packets of one direction Switch holds back because of a delay. More are dropped. Zero:
	// DefaultQueuePackets.
	QueuePackets int
}

// Validate tells what is wrong.
func (c Config) Validate() error {
	if c.Nodes < 1 || c.Nodes > maxNodes {
		return fmt.Errorf("a network of %d nodes: want 1 to %d", c.Nodes, maxNodes)
	}
	if c.QueuePackets < 0 || c.QueuePackets > maxQueuePackets {
		return fmt.Errorf("a queue of %d packets: want 1 to %d, or 0 for %d", c.QueuePackets, maxQueuePackets, DefaultQueuePackets)
	}
	return nil
}

func (c Config) queue() int {
	if c.QueuePackets == 0 {
		return DefaultQueuePackets
	}
	return c.QueuePackets
}

// knows tells whether the network has this place.
func (c Config) knows(place int) bool {
	return place == fault.Driver || place >= 0 && place < c.Nodes
}

// addr is a place's address, or the zero Addr of a place that is none.
func (c Config) addr(place int) netip.Addr {
	if !c.knows(place) {
		return netip.Addr{}
	}
	host := byte(driverHost)
	if place != fault.Driver {
		host = byte(place + 1)
	}
	a := prefix.Addr().As4()
	a[3] = host
	return netip.AddrFrom4(a)
}
