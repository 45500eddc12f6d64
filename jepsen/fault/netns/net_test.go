package netns

import (
	"errors"
	"maps"
	"math"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// networks of both kinds, for what they have in common.
func bothKinds(t *testing.T, nodes int, f func(t *testing.T, n fault.Net)) {
	t.Helper()
	t.Run("bridge", func(t *testing.T) {
		need(t, fault.TierB)
		n, err := NewBridge(Config{Nodes: nodes})
		f(t, made(t, n, err))
	})
	t.Run("switch", func(t *testing.T) {
		f(t, newTestSwitch(t, Config{Nodes: nodes, Seed: 1}))
	})
}

func TestEverybodyReachesEverybody(t *testing.T) {
	bothKinds(t, 3, func(t *testing.T, n fault.Net) {
		places := []int{0, 1, 2, fault.Driver}
		for _, to := range places {
			server := echo(t, n, to)
			for _, from := range places {
				start := time.Now()
				c := dialed(t, n, from, server)
				answers(t, c)
				if first := time.Since(start); first > time.Second {
					t.Errorf("the first call from %d to %d took %s: something is being waited for", from, to, first)
				}
				if from != to {
					if got := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); got != n.Addr(from) {
						t.Errorf("place %d comes from %s, want %s", from, got, n.Addr(from))
					}
				}
			}
		}
		if a := affected(t, n); a != 0 {
			t.Errorf("without a rule %d packets were affected", a)
		}
	})
}

// A cut of either direction stalls connections that exist, and only those of the pair; they go on when it is healed.
func TestCutAndHeal(t *testing.T) {
	pairs := []struct {
		name     string
		cut      []fault.Pair
		stalling int // the client
		whole    int
	}{
		{"requests", []fault.Pair{{From: 1, To: 0}}, 1, fault.Driver},
		{"answers", []fault.Pair{{From: 0, To: 1}}, 1, fault.Driver},
		{"the driver's requests", []fault.Pair{{From: fault.Driver, To: 0}}, fault.Driver, 1},
		{"answers to the driver", []fault.Pair{{From: 0, To: fault.Driver}}, fault.Driver, 1},
		{"both", []fault.Pair{{From: 0, To: 1}, {From: 1, To: 0}}, 1, fault.Driver},
	}
	bothKinds(t, 2, func(t *testing.T, n fault.Net) {
		server := echo(t, n, 0)
		conns := map[int]net.Conn{1: dialed(t, n, 1, server), fault.Driver: dialed(t, n, fault.Driver, server)}
		for _, tt := range pairs {
			t.Run(tt.name, func(t *testing.T) {
				answers(t, conns[1])
				answers(t, conns[fault.Driver])
				before := affected(t, n)
				rules := make(map[fault.Pair]fault.Rule)
				for _, p := range tt.cut {
					rules[p] = fault.Rule{Cut: true}
				}
				set(t, n, rules)
				answers(t, conns[tt.whole])
				stalls(t, conns[tt.stalling])
				if a := affected(t, n); a == before {
					t.Error("nothing was affected by the cut")
				}
				if _, err := dial(n, tt.stalling, server, moment); err == nil {
					t.Error("a new connection was made through the cut")
				}
				answers(t, conns[tt.whole])
				set(t, n, nil)
				resumes(t, conns[tt.stalling])
			})
		}
	})
}

// A rule that nobody ran into counts nothing.
func TestAffectedRisesOnlyWhenHit(t *testing.T) {
	bothKinds(t, 3, func(t *testing.T, n fault.Net) {
		server := echo(t, n, 0)
		c := dialed(t, n, 1, server)
		set(t, n, Isolate(3, 2, WithDriver))
		for range 10 {
			answers(t, c)
		}
		if a := affected(t, n); a != 0 {
			t.Errorf("%d packets were affected, and none was sent that way", a)
		}
		if _, err := dial(n, 2, server, moment); err == nil {
			t.Error("a connection was made through the cut")
		}
		hit := affected(t, n)
		if hit == 0 {
			t.Error("nothing was affected by the cut")
		}
		set(t, n, nil)
		answers(t, dialed(t, n, 2, server))
		if a := affected(t, n); a != hit {
			t.Errorf("%d packets were affected after healing", a-hit)
		}
	})
}

// Set replaces all rules: what the new ones do not name is whole.
func TestSetReplaces(t *testing.T) {
	bothKinds(t, 3, func(t *testing.T, n fault.Net) {
		server := echo(t, n, 0)
		one, two := dialed(t, n, 1, server), dialed(t, n, 2, server)
		set(t, n, between(1, 0, fault.Rule{Cut: true}))
		stalls(t, one)
		answers(t, two)
		set(t, n, between(2, 0, fault.Rule{Cut: true}))
		resumes(t, one)
		stalls(t, two)
		set(t, n, map[fault.Pair]fault.Rule{{From: 1, To: 0}: {}, {From: 2, To: 0}: {}}) // rules that say nothing
		resumes(t, two)
	})
}

func TestIsolation(t *testing.T) {
	bothKinds(t, 3, func(t *testing.T, n fault.Net) {
		conns := make(map[fault.Pair]net.Conn)
		for to := range 3 {
			server := echo(t, n, to)
			for _, from := range []int{0, 1, 2, fault.Driver} {
				if from != to {
					conns[fault.Pair{From: from, To: to}] = dialed(t, n, from, server)
				}
			}
		}
		for _, reach := range []Reach{NodesOnly, WithDriver} {
			set(t, n, Isolate(3, 1, reach))
			all := func(f func(c net.Conn, cut bool)) {
				var wg sync.WaitGroup
				for p, c := range conns {
					cut := (p.From == 1 || p.To == 1) && (p.From != fault.Driver || reach == WithDriver)
					wg.Go(func() { f(c, cut) })
				}
				wg.Wait()
			}
			all(func(c net.Conn, cut bool) {
				if cut {
					stalls(t, c)
				} else {
					answers(t, c)
				}
			})
			set(t, n, nil)
			all(func(c net.Conn, cut bool) {
				if cut {
					resumes(t, c)
				}
			})
		}
	})
}

func TestLoss(t *testing.T) {
	const count = 1000
	bothKinds(t, 2, func(t *testing.T, n fault.Net) {
		from, to := packets(t, n, 1), packets(t, n, 0)
		if got := len(burst(t, n, from, to, count, nil)); got != count {
			t.Fatalf("without a rule %d of %d came", got, count)
		}
		for _, tt := range []struct {
			share    float64
			min, max int
		}{{0.3, count / 5, count * 2 / 5}, {1, count, count}, {0, 0, 0}} {
			before := affected(t, n)
			lost := count - len(burst(t, n, from, to, count, between(1, 0, fault.Rule{Loss: tt.share})))
			if lost < tt.min || lost > tt.max {
				t.Errorf("of %d packets %d were lost, want a share of %v", count, lost, tt.share)
			}
			if a := affected(t, n) - before; a != uint64(lost) {
				t.Errorf("%d were lost, %d counted", lost, a)
			}
		}
		// TCP gets through it.
		set(t, n, between(1, 0, fault.Rule{Loss: 0.3}))
		answers(t, dialed(t, n, 1, echo(t, n, 0)))
	})
}

func TestRulesThatAreNone(t *testing.T) {
	bothKinds(t, 2, func(t *testing.T, n fault.Net) {
		set(t, n, between(0, 1, fault.Rule{Cut: true}))
		for _, tt := range []struct {
			name  string
			rules map[fault.Pair]fault.Rule
		}{
			{"no such node", between(0, 2, fault.Rule{Cut: true})},
			{"no such place", between(-2, 0, fault.Rule{Cut: true})},
			{"to itself", between(1, 1, fault.Rule{Cut: true})},
			{"negative share", between(0, 1, fault.Rule{Loss: -0.1})},
			{"more than all", between(0, 1, fault.Rule{Corrupt: 1.1})},
			{"no number", between(0, 1, fault.Rule{Duplicate: math.NaN()})},
			{"negative delay", between(0, 1, fault.Rule{Delay: -1})},
			{"too long a delay", between(0, 1, fault.Rule{Jitter: time.Hour})},
			{"reorder alone", between(0, 1, fault.Rule{Reorder: 0.5})},
		} {
			t.Run(tt.name, func(t *testing.T) {
				if err := n.Set(tt.rules); !errors.Is(err, ErrRule) {
					t.Errorf("got %v", err)
				}
			})
		}
		// The rules before are still in force.
		if _, err := dial(n, 1, echo(t, n, 0), moment); err == nil {
			t.Error("a rule that was refused healed a cut")
		}
	})
}

// The most nodes that Config allows, with every direction between them cut, and one left out.
func TestMostNodes(t *testing.T) {
	need(t, fault.TierB)
	b, err := NewBridge(Config{Nodes: maxNodes})
	n := made(t, b, err)
	rules := make(map[fault.Pair]fault.Rule)
	for from := range maxNodes {
		maps.Copy(rules, Isolate(maxNodes, from, WithDriver))
	}
	const last = maxNodes - 1
	delete(rules, fault.Pair{From: last, To: 0})
	delete(rules, fault.Pair{From: 0, To: last})
	set(t, n, rules)
	server := echo(t, n, 0)
	answers(t, dialed(t, n, last, server))
	for _, from := range []int{1, last - 1, fault.Driver} {
		if _, err := dial(n, from, server, moment); err == nil {
			t.Errorf("%d got through", from)
		}
	}
}

func TestNamesAndAddresses(t *testing.T) {
	bothKinds(t, 2, func(t *testing.T, n fault.Net) {
		for node, want := range map[int]string{0: "10.77.0.1", 1: "10.77.0.2", fault.Driver: "10.77.0.254"} {
			if got := n.Addr(node); got != netip.MustParseAddr(want) {
				t.Errorf("place %d has %s, want %s", node, got, want)
			}
		}
		for _, node := range []int{-2, 2, 253} {
			if n.Addr(node).IsValid() || n.Namespace(node) != "" {
				t.Errorf("node %d does not exist, but has %s in %q", node, n.Addr(node), n.Namespace(node))
			}
		}
		if n.Namespace(fault.Driver) != "" {
			t.Error("the driver's namespace has a name")
		}
		// A process that is started there is there.
		out, err := exec.Command("nsenter", "--net="+n.Namespace(1), "cat", "/proc/net/fib_trie").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "10.77.0.2") || strings.Contains(string(out), "10.77.0.1\n") {
			t.Errorf("nsenter: %v: %s", err, out)
		}
	})
}

func TestClose(t *testing.T) {
	bothKinds(t, 2, func(t *testing.T, n fault.Net) {
		c := dialed(t, n, fault.Driver, echo(t, n, 0))
		answers(t, c)
		path := n.Namespace(0)
		for range 2 {
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.Set(nil); !errors.Is(err, ErrClosed) {
			t.Errorf("set: %v", err)
		}
		if _, err := n.Affected(); !errors.Is(err, ErrClosed) {
			t.Errorf("affected: %v", err)
		}
		if err := In(path, func() error { return nil }); err == nil {
			t.Error("the namespace is still there")
		}
		links, err := net.Interfaces()
		if err != nil || len(links) != 1 {
			t.Errorf("besides lo the driver still has %v, %v", links, err)
		}
		stalls(t, c)
	})
}

// Networks can follow each other at once, but two at a time would share addresses.
func TestOneAtATime(t *testing.T) {
	bothKinds(t, 2, func(t *testing.T, n fault.Net) {
		if b, err := NewBridge(Config{Nodes: 1}); err == nil || !strings.Contains(err.Error(), "10.77.0.254/24") {
			t.Errorf("a second network: %v, %v", b, err)
		}
		answers(t, dialed(t, n, 0, echo(t, n, fault.Driver)))
		for range 2 {
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			b, err := NewBridge(Config{Nodes: 1})
			if err != nil {
				t.Fatal(err)
			}
			n = b
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
