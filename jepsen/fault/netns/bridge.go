package netns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// Bridge is a fault.Net on a bridge of the kernel's. It can cut and lose packets; all else is fault.ErrUnsupported. What is
// lost the kernel draws, not the seed.
type Bridge struct {
	*places
	space *os.File // of the bridge

	mu     sync.Mutex
	drops  *drops
	closed bool
	err    error // of Close
}

var _ fault.Net = (*Bridge)(nil)

// NewBridge makes the network; the calling thread's namespace becomes the driver's.
func NewBridge(cfg Config) (*Bridge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b, err := newBridge(cfg)
	if err != nil {
		return nil, fmt.Errorf("new bridge: %w", err)
	}
	return b, nil
}

func newBridge(cfg Config) (_ *Bridge, err error) {
	b := new(Bridge)
	if b.places, err = newPlaces(cfg); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if b.space, err = newSpace(); err != nil {
		return nil, err
	}
	if err := b.wire(); err != nil {
		return nil, err
	}
	b.drops, err = newDrops(b.space)
	return b, err
}

// wire makes the bridge and plugs everybody in, the driver too, so that what it sends is forwarded, and filtered, like all else.
func (b *Bridge) wire() error {
	var batch strings.Builder
	// A port that listens and learns before it forwards would make the first connections wait for half a minute.
	batch.WriteString("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set br0 up\n")
	number := firstPort
	err := b.each(func(place int, space *os.File, link string) error {
		fmt.Fprintf(&batch, "link add %[1]s index %[2]d type veth peer name %[3]s netns %[4]s\nlink set %[1]s master br0 up\n",
			portName(place), number, link, pathOf(space))
		number++
		return nil
	})
	if err != nil {
		return err
	}
	if err := ip(b.space, batch.String()); err != nil {
		return fmt.Errorf("switch: %w", err)
	}
	if err := b.each(b.address); err != nil {
		return err
	}
	return b.forwarding()
}

// firstPort numbers the bridge's interfaces so that none has the number of its other end. The kernel takes such a pair for
// one of its own and may notice only a second later that it is up, for which time everything sent is lost.
const firstPort = 1_000_000

// forwarding waits until all ports forward: the kernel lets them when it has noticed that the other ends are up.
func (b *Bridge) forwarding() error {
	ctx, cancel := context.WithTimeout(context.Background(), ipTimeout)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := runIP(b.space, "", "-json", "-details", "link", "show", "master", "br0")
		if err != nil {
			return err
		}
		var ports []struct {
			Info struct {
				Port struct {
					State string `json:"state"`
				} `json:"info_slave_data"`
			} `json:"linkinfo"`
		}
		if err := json.Unmarshal(out, &ports); err != nil {
			return fmt.Errorf("ports of the bridge: %w: %s", err, out)
		}
		forward := 0
		for _, p := range ports {
			if p.Info.Port.State == "forwarding" {
				forward++
			}
		}
		if forward == b.cfg.Nodes+1 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d ports of the bridge forward: %w: %s", forward, b.cfg.Nodes+1, ctx.Err(), out)
		}
	}
}

// portName is the name of a place's interface on the bridge.
func portName(place int) string {
	if place == fault.Driver {
		return "driver"
	}
	return fmt.Sprintf("node%d", place)
}

// Set replaces all rules in one transaction of the kernel's.
func (b *Bridge) Set(rules map[fault.Pair]fault.Rule) error {
	if err := b.cfg.validate(rules); err != nil {
		return fmt.Errorf("set rules: %w", err)
	}
	var cut, loss []drop
	for _, p := range sortedPairs(rules) {
		r := rules[p]
		d := drop{from: b.cfg.addr(p.From), to: b.cfg.addr(p.To), share: r.Loss}
		switch {
		case r.Delay > 0 || r.Jitter > 0 || r.Duplicate > 0 || r.Corrupt > 0 || r.Reorder > 0:
			return fmt.Errorf("set rules: from %d to %d: a bridge only cuts and loses: %w", p.From, p.To, fault.ErrUnsupported)
		case r.Cut:
			cut = append(cut, d)
		case r.Loss > 0:
			loss = append(loss, d)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return fmt.Errorf("set rules: %w", ErrClosed)
	}
	if err := b.drops.set(cut, loss); err != nil {
		return fmt.Errorf("set rules: %w", err)
	}
	return nil
}

// Affected counts the packets that were dropped so far.
func (b *Bridge) Affected() (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, fmt.Errorf("count packets: %w", ErrClosed)
	}
	n, err := b.drops.count()
	if err != nil {
		return 0, fmt.Errorf("count packets: %w", err)
	}
	return n, nil
}

// Close takes the network down. Processes that live in a node's namespace keep that, without an interface.
func (b *Bridge) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return b.err
	}
	b.closed = true
	var errs []error
	if b.space != nil {
		errs = append(errs, b.unplug(), b.space.Close())
	}
	errs = append(errs, b.places.close())
	if b.err = errors.Join(errs...); b.err != nil {
		b.err = fmt.Errorf("close bridge: %w", b.err)
	}
	return b.err
}

// unplug removes the interfaces, those at the other ends with them. The kernel would do it after the last namespace is
// gone, but at its own time, and until then the driver's address is taken.
func (b *Bridge) unplug() error {
	links, err := linkNames(b.space)
	if err != nil {
		return err
	}
	var batch strings.Builder
	for _, name := range links {
		fmt.Fprintf(&batch, "link del %s\n", name)
	}
	return ip(b.space, batch.String())
}
