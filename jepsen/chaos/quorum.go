package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
)

// settleTime bounds the way back to a working quorum after the last fault (I12).
const settleTime = 10 * time.Second

// Quorum is the keepers of a run.
type Quorum struct {
	fleet   *fleet.Fleet
	net     fault.Net
	nodes   []*Node
	http    *http.Client
	peers   *transport.Client // for questions to one keeper
	program string
	args    []string
	env     func(i int) []string
	expect  int  // how many bootstrap
	backing bool // the volumes are served by this process
}

// quorumConfig says what a run's keepers are.
type quorumConfig struct {
	fleet   *fleet.Fleet
	net     fault.Net
	program string // path of the zerokeeper
	nodes   int    // that form the group
	spare   int    // further places, not started
	args    []string
	backing bool                                                             // the disks are served by this process, see backingOf
	disk    func(ctx context.Context, i int, dir string) (fault.Disk, error) // nil: plain directories
	clock   func(i int, dir string) (fault.Clock, error)                     // nil: the machine's
	env     func(i int) []string                                             // nil: none
}

// newQuorum makes the keepers without starting them.
func newQuorum(ctx context.Context, cfg quorumConfig) (_ *Quorum, err error) {
	q := &Quorum{
		fleet: cfg.fleet, net: cfg.net, program: cfg.program, args: cfg.args, env: cfg.env, expect: cfg.nodes, backing: cfg.backing,
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.close())
		}
	}()
	for i := range cfg.nodes + cfg.spare {
		n := &Node{index: i, port: machinePort, quorum: q, mount: filepath.Join(cfg.fleet.Dir(), "disk"+strconv.Itoa(i+1))}
		q.nodes = append(q.nodes, n)
		if err := os.MkdirAll(n.mount, 0o700); err != nil {
			return nil, err
		}
		if cfg.disk != nil {
			disk, err := cfg.disk(ctx, i, n.mount)
			if err != nil {
				return nil, err
			}
			n.disk = disk
		}
		if cfg.clock != nil {
			clock, err := cfg.clock(i, filepath.Join(cfg.fleet.Dir(), "clock"+strconv.Itoa(i+1)))
			if err != nil {
				return nil, err
			}
			n.clock = clock
		}
		if err := q.newProc(n, "k"+strconv.Itoa(i+1)); err != nil {
			return nil, err
		}
	}
	q.peers, err = transport.NewClient(transport.ClientConfig{
		Endpoints: q.addrs(), Hello: api.HelloRequest{Role: api.RoleOperator, ID: "chaos"},
	})
	return q, err
}

// newProc gives a node its process.
func (q *Quorum) newProc(n *Node, name string) (err error) {
	args := []string{
		"--name", name, "--data", n.Data(), "--listen", n.Addr(), "--http", n.HTTP(),
		"--bootstrap-expect", strconv.Itoa(q.expect), "--join", strings.Join(q.addrs()[:q.expect], ","),
	}
	var env []string
	if q.env != nil {
		env = append(env, q.env(n.index)...)
	}
	if n.clock != nil {
		env = append(env, n.clock.Env()...)
	}
	n.Proc, err = q.fleet.NewProc(fleet.ProcConfig{
		Name: name, Path: q.program, Args: append(args, q.args...), Env: env, NetNS: q.net.Namespace(n.index), KillOnClose: true,
	})
	return err
}

// addrs are the machine ports of all places.
func (q *Quorum) addrs() []string {
	var addrs []string
	for i := range max(len(q.nodes), q.expect) {
		addrs = append(addrs, fmt.Sprintf("%s:%d", q.net.Addr(i), machinePort))
	}
	return addrs
}

// members are the keepers that are meant to run.
func (q *Quorum) members() []*Node { return q.nodes[:q.expect] }

// start starts the members and waits for a leader.
func (q *Quorum) start(ctx context.Context) error {
	if err := q.revive(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := q.leader(ctx); err != nil {
		return err
	}
	return q.allReady(ctx)
}

// revive resumes and starts every member that does not run.
func (q *Quorum) revive(ctx context.Context) error {
	for _, n := range q.members() {
		if n.Running() {
			if err := n.Resume(); err != nil {
				return err
			}
			continue
		}
		if err := n.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// allReady waits until every member says that it is ready.
func (q *Quorum) allReady(ctx context.Context) error {
	return fleet.Eventually(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		return q.each(func(n *Node) error { return n.ready(ctx) })
	})
}

// each calls f for every member at once.
func (q *Quorum) each(f func(n *Node) error) error {
	errs := make([]error, len(q.members()))
	var wg sync.WaitGroup
	for i, n := range q.members() {
		wg.Go(func() { errs[i] = f(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// leader waits for a keeper that says that it leads. Of several (an old one that
// does not know yet) it is the one in the highest term.
func (q *Quorum) leader(ctx context.Context) (*Node, error) {
	var leader *Node
	err := fleet.Eventually(ctx, 10*time.Millisecond, func(ctx context.Context) error {
		terms := make([]uint64, len(q.nodes))
		_ = q.each(func(n *Node) error {
			if n.Running() && n.leads(ctx) {
				if s, err := q.status(ctx, n); err == nil {
					terms[n.index] = s.Term
				}
			}
			return nil
		})
		best := slices.Max(terms)
		if best == 0 {
			return errors.New("no keeper says that it leads")
		}
		leader = q.nodes[slices.Index(terms, best)]
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find the leader: %w", err)
	}
	return leader, nil
}

// status is a keeper's own view.
func (q *Quorum) status(ctx context.Context, n *Node) (api.NodeStatusAnswer, error) {
	var answer api.NodeStatusAnswer
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := q.peers.CallAt(ctx, n.Addr(), api.NodeStatus, nil, []byte("{}"))
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(resp.Data, &answer)
}

// heal ends everything that can be ended in place.
func (q *Quorum) heal() error {
	errs := []error{q.net.Set(nil)}
	for _, n := range q.nodes {
		if n.disk != nil {
			errs = append(errs, n.disk.Heal())
		}
	}
	return errors.Join(errs...)
}

// agree waits until all members have the same state at the same index, and
// returns it.
func (q *Quorum) agree(ctx context.Context) (index uint64, err error) {
	err = fleet.Eventually(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		answers := make([]api.NodeStatusAnswer, len(q.members()))
		if err := q.each(func(n *Node) (err error) {
			answers[n.index], err = q.status(ctx, n)
			return err
		}); err != nil {
			return err
		}
		for i, a := range answers {
			first := answers[0]
			if a.HashIndex != first.HashIndex || a.Index != first.Index {
				return fmt.Errorf("%s is at %d, %s at %d", a.Name, a.Index, first.Name, first.Index)
			}
			if a.Hash != first.Hash {
				return fmt.Errorf("I3: %s and %s have different states at %d", answers[i].Name, first.Name, a.HashIndex)
			}
		}
		index = answers[0].Index
		return nil
	})
	return index, err
}

// stop ends the members in order, so that what they have is on their disks.
func (q *Quorum) stop(ctx context.Context) error {
	return q.each(func(n *Node) error {
		if err := n.Resume(); err != nil && !errors.Is(err, fleet.ErrNotRunning) {
			return err
		}
		return n.Stop(ctx)
	})
}

// close gives up what the quorum made besides its processes, which the fleet ends.
func (q *Quorum) close() error {
	var errs []error
	if q.peers != nil {
		errs = append(errs, q.peers.Close())
	}
	for _, n := range q.nodes {
		if n.Proc != nil {
			errs = append(errs, n.Kill())
		}
		if n.disk != nil {
			errs = append(errs, n.disk.Close())
		}
		if n.clock != nil {
			errs = append(errs, n.clock.Close())
		}
	}
	return errors.Join(errs...)
}
