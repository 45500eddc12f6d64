package chaos

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/transport/api"
)

// The controls of the switch: each leaves out one rule, and its schedule makes the
// one moment in which nothing else stands in for that rule. What is found must be
// found by its effect: two writable servers, a lost write, a switch without an end.
func init() {
	control := func(name, title, what, finds string, broken map[string]string, play func(*directed, context.Context) error) {
		register(&Scenario{
			Name: name, Title: title, Invariants: finds[:2], Control: what, Finds: finds,
			Nodes: 3, Fabric: bridged, Most: 1, Limit: 2 * time.Minute, Data: pointed(broken),
			Play: func(ctx context.Context, r *Run) error {
				d, err := r.direct(ctx)
				if err != nil {
					return err
				}
				return errors.Join(play(d, ctx), d.end())
			},
		})
	}
	control("G18-noproof", "leases without proof of leadership (R1), and a deposed leader that does not know", "noproof", "I4",
		map[string]string{"k": "noproof"}, (*directed).deposedLeader)
	control("G18-nowait", "nobody's lease is waited for (R2), and a primary that the keepers do not reach", "nowait", "I4",
		map[string]string{"k": "nowait"}, (*directed).unreachedPrimary)
	control("G18-nostamp", "orders of any stamp (R8), and one of an earlier switch that comes late", "nostamp", "I5",
		map[string]string{"p": "nostamp", "agent": "nostamp"}, (*directed).lateOrder)
	control("G18-nolease", "an OK is relayed without a lease (R12c), and a proxy that stood still between statement and answer", "nolease", "I5",
		map[string]string{"p": "nolease"}, (*directed).lateAnswer)
	control("G18-nomemory", "an agent that writes nothing down (R16), and is killed when the switch is committed", "nomemory", "I8",
		map[string]string{"agent": "nomemory"}, (*directed).forgottenPreparation)
}

// directed is the stage of a control: who is what when it begins.
type directed struct {
	*striking
	leader  *Node
	begun   api.Group
	from    int
	primary *DBHost
	armed   []armed
}

func (r *Run) direct(ctx context.Context) (*directed, error) {
	d := &directed{striking: &striking{Run: r, draw: r.newRand()}}
	var err error
	if d.leader, err = r.leader(ctx); err != nil {
		return nil, err
	}
	if d.begun, err = d.group(ctx); err != nil {
		return nil, err
	}
	d.from = d.begun.Writable
	d.primary = r.Data.Hosts[d.from]
	return d, nil
}

// end lets go what still waits, and heals the network.
func (d *directed) end() error {
	errs := []error{d.Quorum.net.Set(nil)}
	for _, a := range d.armed {
		errs = append(errs, a.disarm())
	}
	return errors.Join(errs...)
}

func (d *directed) arm(p *fleet.Proc, name string, what act) (armed, error) {
	a, err := arm(p, name, what)
	d.armed = append(d.armed, a)
	return a, err
}

// keepersBut are the places of the keepers without one.
func (d *directed) keepersBut(one *Node) []int {
	var places []int
	for _, n := range d.Quorum.members() {
		if n != one {
			places = append(places, n.index)
		}
	}
	return places
}

// failover orders a failover of the keeper that leads, and waits until another
// server is the primary.
func (d *directed) failover(ctx context.Context, leader *Node, limit time.Duration) error {
	if err := d.startFailover(ctx, leader); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return fleet.Eventually(ctx, 5*time.Millisecond, func(ctx context.Context) error {
		for i, h := range d.Data.Hosts {
			if i == d.from {
				continue
			}
			if value, err := h.Value(ctx, "SELECT @@global.read_only"); err == nil && value == "0" {
				d.Timeline.Note("%s is writable", h.Name())
				return nil
			}
		}
		return errors.New("no other server is writable")
	})
}

func (d *directed) startFailover(ctx context.Context, leader *Node) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return fleet.Eventually(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		body := []byte(`{"hostGroup":"` + dataGroup + `","toIndex":-1,"kind":"failover","reason":"control"}`)
		_, err := d.Quorum.peers.CallAt(ctx, leader.Addr(), api.SwitchStart, nil, body)
		if err == nil {
			d.Timeline.Note("a failover was ordered of %s", leader.Name())
		}
		return err
	})
}

// deposedLeader: the leader is cut off with the primary and a proxy, and does not
// notice that its term is over. It must not grant them leases while another leader
// counts them out.
func (d *directed) deposedLeader(ctx context.Context) error {
	kind := "leader deposed unawares"
	point, err := d.arm(d.leader.Proc, "keeper/lead/over", actWait)
	if err != nil {
		return err
	}
	others := d.keepersBut(d.leader)
	set := part(rules{}, d.primarySide(), others)
	for _, p := range d.rest() {
		part(set, []int{d.leader.index}, []int{p})
	}
	part(set, []int{d.leader.index}, others)
	d.Timeline.Inject(kind, "%s alone with %s and %s", d.leader.Name(), d.primary.Name(), d.Data.Proxies[0].Name())
	if err := d.Quorum.net.Set(set); err != nil {
		return err
	}
	coming, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := point.await(coming); err != nil {
		return err
	}
	d.Timeline.Bite(kind, "its term is over, and it does not know")
	leader, err := d.Quorum.leader(coming)
	if err != nil {
		return err
	}
	if err := d.failover(ctx, leader, 10*time.Second); err != nil {
		return err
	}
	wait(ctx, time.Second)
	return nil
}

// unreachedPrimary: the primary and a proxy are cut off from all keepers, and from
// nobody else. They must be out of their leases before another is the primary.
func (d *directed) unreachedPrimary(ctx context.Context) error {
	kind := "primary without keepers"
	d.Timeline.Inject(kind, "%s and %s", d.primary.Name(), d.Data.Proxies[0].Name())
	if err := d.Quorum.net.Set(part(rules{}, d.primarySide(), d.keepersBut(nil))); err != nil {
		return err
	}
	d.Timeline.Bite(kind, "cut")
	if err := d.failover(ctx, d.leader, 10*time.Second); err != nil {
		return err
	}
	wait(ctx, time.Second)
	return nil
}

// primarySide are the places of the primary and the first proxy, rest those of the others.
func (d *directed) primarySide() []int { return []int{d.primary.Place, d.Data.Proxies[0].Place} }

func (d *directed) rest() []int {
	var places []int
	for _, p := range d.Data.Proxies[1:] {
		places = append(places, p.Place)
	}
	for i, h := range d.Data.Hosts {
		if i != d.from {
			places = append(places, h.Place)
		}
	}
	return places
}

// orphan kills the primary's agent, so that nobody fences the server, and lets it
// acknowledge alone what it is sent: what must not happen then is up to proxies.
func (d *directed) orphan(ctx context.Context) error {
	d.sampler.excuseFor(d.from, time.Hour)
	d.primary.errant = true
	if err := d.primary.Agent.Kill(); err != nil {
		return err
	}
	d.Timeline.Note("kill -9 of the agent of %s, which acknowledges alone now", d.primary.Name())
	return d.primary.Exec(ctx, "SET GLOBAL rpl_semi_sync_master_enabled=0")
}

// lateOrder: RecoverWriting of a switch that was rolled back comes to a proxy when
// the next one has passed its commit point, while the proxy's lease lives.
func (d *directed) lateOrder(ctx context.Context) error {
	kind := "late order"
	proxy := d.Data.Proxies[0]
	late, err := d.arm(proxy.Proc, "proxy/"+api.RecoverWritingProxyDatasource+"/before", actWait)
	if err != nil {
		return err
	}
	coming, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := d.request(coming, rolledBack, d.leader, d.begun, (d.from+1)%len(d.Data.Hosts)); err != nil {
		return err
	}
	if err := late.await(coming); err != nil {
		return err
	}
	d.Timeline.Inject(kind, "%s of the switch that was rolled back waits in %s", api.RecoverWritingProxyDatasource, proxy.Name())
	if err := d.writesThrough(coming, d.Timeline.Since()); err != nil { // a heartbeat has opened it
		return err
	}
	if err := d.orphan(ctx); err != nil {
		return err
	}
	wait(ctx, leaseOver) // the agent's; the proxies' are renewed
	committed, err := d.arm(d.leader.Proc, "keeper/"+fsm.StatePromoting+"/before", actWait)
	if err != nil {
		return err
	}
	if err := d.startFailover(ctx, d.leader); err != nil {
		return err
	}
	coming, cancel = context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := committed.await(coming); err != nil {
		return err
	}
	if err := late.disarm(); err != nil {
		return err
	}
	d.Timeline.Bite(kind, "it was let go behind the commit point")
	wait(ctx, time.Second)
	return nil
}

// leaseOver is longer than any lease of the stage, and than a keeper waits for one.
const leaseOver = 2500 * time.Millisecond

// lateAnswer: a proxy stands still with statements in flight to a primary that is
// orphaned and answers when another is the primary.
func (d *directed) lateAnswer(ctx context.Context) (err error) {
	kind := "proxy stopped between statement and answer"
	conn, err := d.primary.DB().Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closed(conn)) }()
	if _, err := conn.ExecContext(ctx, "LOCK TABLES "+dataTable+" WRITE"); err != nil {
		return err
	}
	wait(ctx, 200*time.Millisecond) // every client's next statement waits for the lock
	proxy := d.Data.Proxies[0]
	d.Timeline.Inject(kind, "%s", proxy.Name())
	if err := proxy.Pause(ctx); err != nil {
		return err
	}
	if err := d.orphan(ctx); err != nil {
		return err
	}
	if err := d.failover(ctx, d.leader, 10*time.Second); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "UNLOCK TABLES"); err != nil {
		return err
	}
	wait(ctx, 300*time.Millisecond) // the answers lie in the sockets of the proxy
	d.Timeline.Bite(kind, "it goes on")
	if err := proxy.Resume(); err != nil {
		return err
	}
	wait(ctx, time.Second)
	return nil
}

func closed(conn *sql.Conn) error {
	if err := conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		return fmt.Errorf("give a connection back: %w", err)
	}
	return nil
}

// forgottenPreparation: the candidate's agent is killed when the order to promote
// comes in, and started again: it must know that it was prepared.
func (d *directed) forgottenPreparation(ctx context.Context) error {
	kind := "agent killed at the commit"
	to := (d.from + 1) % len(d.Data.Hosts)
	agent := d.Data.Hosts[to].Agent
	point, err := d.arm(agent, "agent/"+api.PromoteDatasource+"/before", actKill)
	if err != nil {
		return err
	}
	coming, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	d.Timeline.Inject(kind, "%s", agent.Name())
	id, err := d.Data.StartSwitch(coming, to)
	if err != nil {
		return err
	}
	if err := point.await(coming); err != nil {
		return err
	}
	d.sampler.excuse(to)
	if err := agent.Kill(); err != nil { // waits
		return err
	}
	d.Timeline.Bite(kind, "it died with the order to promote")
	if err := up(agent); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, strikeTime)
	defer cancel()
	if _, err := d.Data.Ended(limited, id); err == nil {
		wait(ctx, 2*time.Second) // a run with few writes says nothing
		return nil
	}
	d.Violation("I8: the switch had not ended %v after the agent of %s was back", strikeTime, d.Data.Hosts[to].Name())
	return d.startFailover(ctx, d.leader) // which supersedes it
}
