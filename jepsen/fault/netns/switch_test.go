package netns

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// newTestSwitch skips the test where there is no TUN device for this user; a run as root, or in CI, must have one.
func newTestSwitch(t *testing.T, cfg Config) *Switch {
	t.Helper()
	need(t, fault.TierB)
	s, err := NewSwitch(cfg)
	if tier == fault.TierB && errors.Is(err, fault.ErrUnsupported) {
		t.Skipf("NOT TESTED: %v", err)
	}
	return made(t, s, err)
}

func TestSwitchNeedsTUN(t *testing.T) {
	need(t, fault.TierB)
	f, err := os.OpenFile(tunDevice, os.O_RDWR, 0)
	if err == nil {
		f.Close()
		t.Skipf("this user may open %s", tunDevice)
	}
	if s, err := NewSwitch(Config{Nodes: 1}); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestDelay(t *testing.T) {
	n := newTestSwitch(t, Config{Nodes: 2, Seed: 1})
	c := dialed(t, n, 1, echo(t, n, 0))
	clean := median(t, c, 20)
	if clean > 20*time.Millisecond {
		t.Errorf("a clean round trip takes %s", clean)
	}
	const delay, jitter = 40 * time.Millisecond, 20 * time.Millisecond
	for _, tt := range []struct {
		name  string
		rules map[fault.Pair]fault.Rule
		least time.Duration
	}{
		{"one way", between(1, 0, fault.Rule{Delay: delay}), delay},
		{"both ways", map[fault.Pair]fault.Rule{{From: 1, To: 0}: {Delay: delay}, {From: 0, To: 1}: {Delay: delay}}, 2 * delay},
		{"with jitter", between(1, 0, fault.Rule{Delay: delay, Jitter: jitter}), delay - jitter},
		{"another pair", between(1, fault.Driver, fault.Rule{Delay: delay}), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set(t, n, tt.rules)
			before := affected(t, n)
			for range 5 {
				if d := answers(t, c); d < tt.least || d > 2*tt.least+time.Second {
					t.Errorf("a round trip took %s, want %s or a little more", d, tt.least)
				}
			}
			if hit := affected(t, n) > before; hit != (tt.least > 0) {
				t.Errorf("affected: %t", hit)
			}
			set(t, n, nil)
			drained(t, n, func() {})
		})
	}
}

// Jitter alone keeps the order; Reorder changes it.
func TestOrder(t *testing.T) {
	const count = 400
	n := newTestSwitch(t, Config{Nodes: 2, Seed: 1})
	from, to := packets(t, n, 1), packets(t, n, 0)
	rule := fault.Rule{Delay: 20 * time.Millisecond, Jitter: 20 * time.Millisecond}
	if got := burst(t, n, from, to, count, between(1, 0, rule)); len(got) != count || !slices.IsSorted(got) {
		t.Errorf("%d of %d came, in order: %t", len(got), count, slices.IsSorted(got))
	}
	if c := n.Counts(); c.Delayed != count || c.Reordered != 0 {
		t.Errorf("%+v, want %d delayed", c, count)
	}
	rule.Reorder = 0.25
	if got := burst(t, n, from, to, count, between(1, 0, rule)); len(got) != count || slices.IsSorted(got) {
		t.Errorf("%d of %d came, in order: %t", len(got), count, slices.IsSorted(got))
	}
	if c := n.Counts(); c.Reordered < count/8 || c.Reordered > count/2 || c.Delayed+c.Reordered != 2*count {
		t.Errorf("%+v: want a quarter of %d reordered", c, count)
	}
	if a := affected(t, n); a != 2*count {
		t.Errorf("%d were affected, want %d", a, 2*count)
	}
}

func TestDuplicate(t *testing.T) {
	const count = 400
	n := newTestSwitch(t, Config{Nodes: 2, Seed: 1})
	from, to := packets(t, n, 1), packets(t, n, 0)
	for _, rule := range []fault.Rule{{Duplicate: 0.25}, {Duplicate: 0.25, Delay: time.Millisecond}} {
		before := n.Counts()
		got := burst(t, n, from, to, count, between(1, 0, rule))
		twice := n.Counts().Duplicated - before.Duplicated
		if twice < count/8 || twice > count/2 || uint64(len(got)) != count+twice {
			t.Errorf("of %d packets %d came, %d were counted as doubled, want a quarter", count, len(got), twice)
		}
		if distinct := slices.Compact(slices.Sorted(slices.Values(got))); len(distinct) != count {
			t.Errorf("%d of %d came", len(distinct), count)
		}
	}
}

// What is corrupted the receiver's kernel drops: programs notice the loss, and TCP not even that.
func TestCorrupt(t *testing.T) {
	const count = 400
	n := newTestSwitch(t, Config{Nodes: 2, Seed: 1})
	from, to := packets(t, n, 1), packets(t, n, 0)
	got := burst(t, n, from, to, count, between(1, 0, fault.Rule{Corrupt: 0.25}))
	bad := n.Counts().Corrupted
	if bad < count/8 || bad > count/2 || uint64(len(got)) != count-bad || affected(t, n) != bad {
		t.Errorf("of %d packets %d came, %d were counted as corrupted, want a quarter", count, len(got), bad)
	}
	c := dialed(t, n, 1, echo(t, n, 0))
	set(t, n, between(1, 0, fault.Rule{Corrupt: 0.3}))
	for range 100 {
		if answers(t, c); n.Counts().Corrupted > bad {
			return
		}
	}
	t.Error("no TCP segment was corrupted")
}

// With CorruptAbove a program reads other bytes than were sent, on a connection that does not fail.
func TestCorruptAboveTCP(t *testing.T) {
	n := newTestSwitch(t, Config{Nodes: 2, Seed: 1, CorruptAbove: true})
	c := dialed(t, n, 1, echo(t, n, 0))
	answers(t, c)
	set(t, n, between(1, 0, fault.Rule{Corrupt: 0.5}))
	wrong := false
	for range 100 {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "0123456789"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 10)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		if wrong = string(got) != "0123456789"; wrong {
			break
		}
	}
	if !wrong {
		t.Errorf("of 100 answers all were right: %+v", n.Counts())
	}
	set(t, n, nil)
	answers(t, c)
}

// What one direction holds back has a bound.
func TestQueuesAreBounded(t *testing.T) {
	const room, count = 10, 100
	n := newTestSwitch(t, Config{Nodes: 2, QueuePackets: room})
	from, to := packets(t, n, 1), packets(t, n, 0)
	got := burst(t, n, from, to, count, between(1, 0, fault.Rule{Delay: moment}))
	c := n.Counts()
	if len(got) < room || c.Overflowed == 0 || uint64(len(got))+c.Overflowed != count {
		t.Errorf("of %d packets %d came through a queue of %d: %+v", count, len(got), room, c)
	}
	if slices.Max(got[:room]) != room-1 {
		t.Errorf("%v came, want the first %d: what does not fit is dropped, not what is there", got, room)
	}
}

// Close does not wait for what is held back, and drops it.
func TestCloseDropsWhatIsHeld(t *testing.T) {
	n := newTestSwitch(t, Config{Nodes: 2})
	from, to := packets(t, n, 1), packets(t, n, 0)
	set(t, n, between(1, 0, fault.Rule{Delay: time.Minute}))
	for i := range 100 {
		send(t, from, to, []byte{0, byte(i)})
	}
	start := time.Now()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("Close took %s", d)
	}
}

// Packets that go nowhere are dropped and counted, and do not count as a fault.
func TestStrangePackets(t *testing.T) {
	n := newTestSwitch(t, Config{Nodes: 1})
	from, mark := packets(t, n, 0), packets(t, n, fault.Driver)
	nowhere := *from.LocalAddr().(*net.UDPAddr)
	nowhere.IP = net.IPv4(10, 77, 0, 99)
	if _, err := from.WriteToUDP([]byte("lost"), &nowhere); err != nil {
		t.Fatal(err)
	}
	send(t, from, mark, []byte("mark"))
	receive(t, mark)
	if c := n.Counts(); c != (Counts{Packets: 1, Strange: 1}) || affected(t, n) != 0 {
		t.Errorf("%+v", c)
	}
}

// Rules change while everybody talks, and Close comes in the middle of it.
func TestSwitchUnderLoad(t *testing.T) {
	const nodes = 4
	n := newTestSwitch(t, Config{Nodes: nodes, Seed: 1, CorruptAbove: true, QueuePackets: 50})
	stop := make(chan struct{})
	var talkers sync.WaitGroup
	for to := range nodes {
		target := packets(t, n, to)
		for _, from := range []int{(to + 1) % nodes, fault.Driver} {
			c := packets(t, n, from)
			talkers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default: // what fails is sent when the switch is closed
						_, _ = c.WriteToUDP(make([]byte, 1000), target.LocalAddr().(*net.UDPAddr))
					}
				}
			})
		}
	}
	defer talkers.Wait()
	defer close(stop)
	rng := rand.New(rand.NewPCG(1, 1))
	hit := func() bool { c := n.Counts(); return c.Cut > 0 && c.Delayed > 0 && c.Lost > 0 }
	for end := time.Now().Add(patience); !hit(); {
		if time.Now().After(end) {
			t.Fatalf("%+v", n.Counts())
		}
		rules := Halves(rng, nodes, WithDriver)
		for from := range nodes {
			p := fault.Pair{From: from, To: fault.Driver}
			rules[p] = fault.Rule{Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.1, Duplicate: 0.1, Corrupt: 0.1, Reorder: 0.1}
			rules[fault.Pair{From: p.To, To: p.From}] = rules[p]
		}
		for range 20 { // while the packets flow
			set(t, n, rules)
			affected(t, n)
		}
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
