package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"time"

	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/jepsen/fault/relay"
)

func init() {
	register(&Scenario{
		Name: "G7", Title: "counters, and answers that are lost", Invariants: "I10 I3 I12 I14",
		Nodes: 3, AlsoNodes: []int{5}, Fabric: shaped, Play: playCounters, Judge: judgeCounters, Most: 0.5,
	})
}

const (
	counterClients = 6
	counterPause   = 40 * time.Millisecond
	counters       = 4
	dropShare      = 0.2 // of answers that never arrive
	retryTime      = 5 * time.Second
)

// playCounters has clients that write under sessions and send again what they did
// not hear the answer of, while a relay drops answers, packets come twice and
// leaders die.
func playCounters(ctx context.Context, r *Run) error {
	drops, err := r.dropAnswers()
	if err != nil {
		return err
	}
	defer drops.close()
	w, err := r.startWorkload(ctx, counterClients, counterPause, countOnce)
	if err != nil {
		return err
	}
	defer w.stop()
	const lost = "answers lost"
	r.Timeline.Inject(lost, "%.0f %% of the answers are dropped on their way", 100*dropShare)
	all := []nemesis{killed("leader killed", theLeader), handedOver(), paused("leader paused", theLeader)}
	for _, line := range badLines() {
		if line.name == "duplicates" || line.name == "reordering" {
			all = append(all, line)
		}
	}
	if err := r.disturb(ctx, all, pace{on: time.Second, off: 500 * time.Millisecond}); err != nil {
		return err
	}
	n, err := drops.heal()
	if err != nil {
		return err
	}
	if n > 0 {
		r.Timeline.Bite(lost, fmt.Sprintf("%d answers", n))
	}
	return r.settle(ctx, w)
}

// countOnce is one increment: a write that nobody else makes, sent again under
// the same session and sequence until it is answered. Each attempt is recorded.
// One in five is sent once more after its answer: the answer must be the same.
func countOnce(ctx context.Context, c *client) {
	key, value := fmt.Sprintf("n%d", c.rand.IntN(counters)), fmt.Sprintf("c%d-%d", c.id, c.seq+1)
	w := c.begin(counterID, key, value, nil)
	until := time.Now().Add(retryTime)
	for ctx.Err() == nil && time.Now().Before(until) {
		if op := w.send(ctx); op.Acked() {
			if c.rand.IntN(5) == 0 {
				w.send(ctx)
			}
			return
		}
		wait(ctx, 20*time.Millisecond)
	}
	c.renew() // given up: whoever goes on is somebody else
}

// judgeCounters wants every increment once (I10).
func judgeCounters(_ context.Context, r *Run) {
	if r.final == nil {
		return
	}
	versions := map[string]uint64{}
	for _, s := range r.final.Sections() {
		versions[check.SectionKey(s.ID, s.Section)] = s.Version
	}
	ops := of(counterID, r.History.Ops())
	maps.DeleteFunc(versions, func(key string, _ uint64) bool { return !strings.HasPrefix(key, counterID+"/") })
	r.take("I10", check.Counter(ops, r.log, versions))
}

// droppers are relays before every keeper that lose answers.
type droppers struct {
	instead map[string]string
	all     []*relay.Dropper
}

// dropAnswers puts a relay before every keeper for clients that are made from
// now on.
func (r *Run) dropAnswers() (*droppers, error) {
	d := &droppers{instead: map[string]string{}}
	for i, addr := range r.Quorum.addrs() {
		one, err := relay.NewDropper(relay.DropperConfig{Target: addr, Share: dropShare, Seed: r.Seed + uint64(i)})
		if err != nil {
			d.close()
			return nil, err
		}
		d.all = append(d.all, one)
		d.instead[addr] = one.Addr()
	}
	r.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if relayed := d.instead[address]; relayed != "" {
			address = relayed
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return d, nil
}

// heal lets all answers pass, and tells how many were lost.
func (d *droppers) heal() (lost uint64, err error) {
	for _, one := range d.all {
		n, counted := one.Affected()
		lost += n
		err = errors.Join(err, counted, one.SetShare(0))
	}
	return lost, err
}

func (d *droppers) close() {
	for _, one := range d.all {
		_ = one.Close() // nothing is under way any more
	}
}
