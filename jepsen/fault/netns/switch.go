package netns

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// maxPacket is what an IPv4 packet can have, in bytes.
const maxPacket = 1 << 16

// Switch is a fault.Net that takes every packet through this process, and does to it all that a rule can say.
type Switch struct {
	*places
	ports   []*os.File // TUN files of the nodes, then the driver's
	numbers map[netip.Addr]int
	ways    [][]*direction // from, to
	hold    *hold
	count   counters
	readers sync.WaitGroup

	// rules is held for reading while a packet is handled: Set waits for those that are under way.
	rules struct {
		sync.RWMutex
		of  [][]fault.Rule // from, to
		age uint64         // how many were set
	}

	mu     sync.Mutex // over Set, Affected, Close
	closed bool
	err    error // of Close

	broken struct {
		sync.Mutex
		err error // why a reader ended early
	}
}

var _ fault.Net = (*Switch)(nil)

// NewSwitch makes the network; the calling thread's namespace becomes the driver's. Where there is no TUN device that this
// user may open the error is fault.ErrUnsupported.
func NewSwitch(cfg Config) (*Switch, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s, err := newSwitch(cfg)
	if err != nil {
		return nil, fmt.Errorf("new switch: %w", err)
	}
	return s, nil
}

func newSwitch(cfg Config) (_ *Switch, err error) {
	s := &Switch{numbers: make(map[netip.Addr]int)}
	if s.places, err = newPlaces(cfg); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	err = s.each(func(place int, space *os.File, link string) error {
		tun, err := openTUN(space, link)
		if err != nil {
			return err
		}
		s.numbers[s.Addr(place)] = len(s.ports)
		s.ports = append(s.ports, tun)
		return s.address(place, space, link)
	})
	if err != nil {
		return nil, err
	}
	for from := range s.ports {
		row := make([]*direction, len(s.ports))
		for to := range row {
			row[to] = newDirection(cfg.Seed, fault.Pair{From: s.place(from), To: s.place(to)})
		}
		s.ways = append(s.ways, row)
	}
	s.rules.of = s.table(nil)
	s.hold = newHold(s.write)
	for from := range s.ports {
		s.readers.Go(func() { s.read(from) })
	}
	return s, nil
}

// place is that of a port.
func (s *Switch) place(port int) int {
	if port == s.cfg.Nodes {
		return fault.Driver
	}
	return port
}

// port is that of a place.
func (s *Switch) port(place int) int {
	if place == fault.Driver {
		return s.cfg.Nodes
	}
	return place
}

// table lays rules out by port.
func (s *Switch) table(rules map[fault.Pair]fault.Rule) [][]fault.Rule {
	t := make([][]fault.Rule, len(s.ports))
	for from := range t {
		t[from] = make([]fault.Rule, len(s.ports))
	}
	for p, r := range rules {
		t[s.port(p.From)][s.port(p.To)] = r
	}
	return t
}

// read handles what a place sends until its file is closed.
func (s *Switch) read(from int) {
	buf := make([]byte, maxPacket)
	for {
		n, err := s.ports[from].Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			s.fail(fmt.Errorf("what place %d sends is lost from now on: %w", s.place(from), err))
			return
		}
		s.handle(from, buf[:n])
	}
}

func (s *Switch) handle(from int, b []byte) {
	p, ok := parsePacket(b)
	if !ok {
		s.count.strange.Add(1)
		return
	}
	to, ok := s.numbers[p.destination()]
	if !ok || to == from {
		s.count.strange.Add(1)
		return
	}
	s.count.packets.Add(1)
	way := s.ways[from][to]
	s.rules.RLock()
	defer s.rules.RUnlock()
	f := way.decide(s.rules.of[from][to], s.rules.age, p, time.Now(), s.cfg.CorruptAbove, &s.count)
	if f.drop {
		return
	}
	for range f.copies {
		if !f.delayed {
			s.write(to, p)
		} else if !s.hold.add(f.due, to, bytes.Clone(p), &way.waiting, int64(s.cfg.queue())) {
			s.count.overflowed.Add(1)
		}
	}
}

// write gives a packet to the place of a port.
func (s *Switch) write(to int, b []byte) {
	_, err := s.ports[to].Write(b)
	switch {
	case err == nil, errors.Is(err, os.ErrClosed): // the switch is being closed
	case errors.Is(err, unix.EIO), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EINVAL):
		s.count.refused.Add(1) // the interface is down, or full; or an option of the packet's is wrong
	default:
		s.fail(fmt.Errorf("place %d could not be given a packet: %w", s.place(to), err))
	}
}

// fail remembers the first error, for all later calls.
func (s *Switch) fail(err error) {
	s.broken.Lock()
	defer s.broken.Unlock()
	if s.broken.err == nil {
		s.broken.err = err
	}
}

func (s *Switch) broke() error {
	s.broken.Lock()
	defer s.broken.Unlock()
	return s.broken.err
}

// works is nil while the switch is open and forwards everything. s.mu is held.
func (s *Switch) works() error {
	if s.closed {
		return ErrClosed
	}
	return s.broke()
}

// Set replaces all rules at once. When it has returned, no packet is handled by the old ones any more.
func (s *Switch) Set(rules map[fault.Pair]fault.Rule) error {
	if err := s.cfg.validate(rules); err != nil {
		return fmt.Errorf("set rules: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.works(); err != nil {
		return fmt.Errorf("set rules: %w", err)
	}
	table := s.table(rules)
	s.rules.Lock()
	defer s.rules.Unlock()
	s.rules.of = table
	s.rules.age++
	return nil
}

// Affected counts the packets that a rule did anything to.
func (s *Switch) Affected() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.works(); err != nil {
		return 0, fmt.Errorf("count packets: %w", err)
	}
	return s.count.affected.Load(), nil
}

// Counts tells what was done to packets so far, and may be called after Close.
func (s *Switch) Counts() Counts { return s.count.counts() }

// Close takes the network down and drops what was held back. Processes that live in a node's namespace keep that, without
// an interface.
func (s *Switch) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.err
	}
	s.closed = true
	errs := []error{s.broke()}
	for _, tun := range s.ports {
		errs = append(errs, tun.Close())
	}
	s.readers.Wait()
	if s.hold != nil {
		s.hold.close()
	}
	errs = append(errs, s.places.close())
	if s.err = errors.Join(errs...); s.err != nil {
		s.err = fmt.Errorf("close switch: %w", s.err)
	}
	return s.err
}
