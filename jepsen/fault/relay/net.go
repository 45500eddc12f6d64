package relay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/zerokeeper/zero/jepsen/fault"
)

const (
	maxNodes   = 100
	networks   = 254  // 127.77.1.0/24 to 127.77.254.0/24, one for each run
	relaysFrom = 101  // the last byte of the address of a node's relays, from that of node 0
	driverByte = 250  // the last byte of the driver's own address
	claimPort  = 7707 // of the UDP socket that claims a network against other runs
)

// ErrNoNetwork is returned by New when other runs have all networks of 127.77.0.0/16.
var ErrNoNetwork = errors.New("all loopback networks of 127.77.0.0/16 are taken by other runs")

// Config describes the nodes. All of them listen on the same port, each on an address of its own.
type Config struct {
	Nodes int    // their number, 1 to 100
	Port  int    // the TCP port that they listen on for each other and for the driver
	Seed  uint64 // of jitter and corruption
}

// Validate returns an error that names what is wrong.
func (c Config) Validate() error {
	if c.Nodes < 1 || c.Nodes > maxNodes {
		return fmt.Errorf("%d Nodes: want 1 to %d", c.Nodes, maxNodes)
	}
	if c.Port < 1 || c.Port > 65535 {
		return fmt.Errorf("port %d: want 1 to 65535", c.Port)
	}
	return nil
}

// Net is a network of relays between nodes on loopback. Its methods may be called from any goroutine.
type Net struct {
	cfg    Config
	run    byte // the third byte of all addresses
	claim  net.PacketConn
	rules  *rules
	relays map[fault.Pair]*server // by who dials and who is dialled
}

var _ fault.Net = (*Net)(nil)

// New starts the relays. The nodes need not run yet.
func New(cfg Config) (*Net, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("make a network of relays: %w", err)
	}
	n := &Net{cfg: cfg, rules: newRules(cfg.Seed), relays: make(map[fault.Pair]*server)}
	err := n.claimNetwork()
	for from := fault.Driver; from < cfg.Nodes && err == nil; from++ {
		for to := 0; to < cfg.Nodes && err == nil; to++ {
			if from != to {
				err = n.relay(fault.Pair{From: from, To: to})
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make a network of relays: %w", errors.Join(err, n.Close()))
	}
	return n, nil
}

// claimNetwork finds a network that no other run has, from the one that belongs to this process's number.
func (n *Net) claimNetwork() error {
	var last error
	for i := range networks {
		n.run = byte(1 + (os.Getpid()+i)%networks)
		addr := netip.AddrPortFrom(n.addr(driverByte), claimPort)
		claim, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
		if err == nil {
			n.claim = claim
			return nil
		}
		last = err
	}
	return fmt.Errorf("%w: %w", ErrNoNetwork, last)
}

func (n *Net) relay(pair fault.Pair) error {
	own := n.Addr(pair.From)
	host := byte(driverByte)
	if pair.From != fault.Driver {
		host = byte(relaysFrom + pair.From)
	}
	l := &link{rules: n.rules, pair: pair, from: own.AsSlice(), to: n.Listen(pair.To)}
	s, err := serve(netip.AddrPortFrom(n.addr(host), 0).String(), l.handle)
	if err == nil {
		n.relays[pair] = s
	}
	return err
}

func (n *Net) addr(host byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 77, n.run, host}) }

// Addr is the address that a node listens on, or the one that the driver's connections come from.
func (n *Net) Addr(node int) netip.Addr {
	if node == fault.Driver {
		return n.addr(driverByte)
	}
	return n.addr(byte(node + 1))
}

// Listen is host:port that a node listens on. Whoever dials it past the relays is never disturbed.
func (n *Net) Listen(node int) string {
	return netip.AddrPortFrom(n.Addr(node), uint16(n.cfg.Port)).String()
}

// Dial is host:port at which from, a node or the driver, dials the node to; empty for places that there are not.
func (n *Net) Dial(from, to int) string {
	s := n.relays[fault.Pair{From: from, To: to}]
	if s == nil {
		return ""
	}
	return s.addr()
}

// DialMap is what a node, or the driver, must know to dial through the relays: "address=relay,address=relay". The
// environment variable ZERO_DIAL_MAP hands it to a keeper that was built for it.
func (n *Net) DialMap(node int) string {
	var pairs []string
	for to := range n.cfg.Nodes {
		if relay := n.Dial(node, to); relay != "" {
			pairs = append(pairs, n.Listen(to)+"="+relay)
		}
	}
	return strings.Join(pairs, ",")
}

// Namespace is empty: all nodes live in the driver's.
func (n *Net) Namespace(int) string { return "" }

// Set replaces all rules at once. It refuses what cannot be done above TCP with fault.ErrUnsupported, and then nothing changes.
func (n *Net) Set(rules map[fault.Pair]fault.Rule) error {
	for pair, rule := range rules {
		if !n.place(pair.From) || !n.place(pair.To) || pair.From == pair.To {
			return fmt.Errorf("set the rules: there is no way from %d to %d", pair.From, pair.To)
		}
		if err := checkRule(rule); err != nil {
			return fmt.Errorf("set the rule from %d to %d: %w", pair.From, pair.To, err)
		}
	}
	n.rules.set(rules)
	return nil
}

func (n *Net) place(node int) bool { return node >= fault.Driver && node < n.cfg.Nodes }

// Affected counts the pieces of at most 16 KiB that were held up, delayed or changed, and the connections that were held up.
func (n *Net) Affected() (uint64, error) { return n.rules.affected.Load(), nil }

// Close ends all connections and relays.
func (n *Net) Close() error {
	var errs []error
	for _, s := range n.relays {
		errs = append(errs, s.close())
	}
	clear(n.relays)
	if n.claim != nil {
		errs = append(errs, n.claim.Close())
		n.claim = nil
	}
	return errors.Join(errs...)
}
