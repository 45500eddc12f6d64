package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// waits are the times of a switch beside those that its configuration sets.
type waits struct {
	grace   time.Duration // for the way there and back, beyond what an order itself waits for
	role    time.Duration // of one attempt to promote, restore or follow
	point   time.Duration // for which all proxies wait for one that is slow to be pointed at a datasource
	inform  time.Duration // for which proxies are told of what their next heartbeat tells them as well
	restore time.Duration // for which the old primary's agent is asked to re-open; after it its heartbeats do that
	repoint time.Duration // for which replicas are asked to follow; after it their agents' heartbeats do that
	sweep   time.Duration // between two looks for open switches that nobody drives
	ahead   time.Duration // for which a fence's entry waits for the candidate's position: not much more than the entry takes that is saved
}

var defaultWaits = waits{
	grace: time.Second, role: 10 * time.Second, point: 250 * time.Millisecond, inform: 2 * time.Second,
	restore: 5 * time.Second, repoint: 10 * time.Second, sweep: time.Second,
	ahead: 5 * time.Millisecond,
}

// Pauses between two tries of an order, doubling.
const (
	orderPauseMin = 10 * time.Millisecond
	orderPauseMax = 200 * time.Millisecond
)

// order calls a proxy or an agent over its command connection, and decodes
// what it answers into answer (nil: nothing is expected). It fails with
// NetConnect when it is not connected.
func order(ctx context.Context, route *wire.InvokeRoute, id, name string, meta wire.Meta, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	resp, err := route.Call(ctx, id, name, meta, data)
	if err != nil {
		return err
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(resp.Data, answer); err != nil {
		return api.Errorf(api.DataRead, "%s at %s: its answer cannot be read: %v", name, id, err)
	}
	return nil
}

// retry calls f until it succeeds, fails for good (final) or ctx ends; the last
// error is returned. One attempt has the time of a call and what the order
// itself takes.
func (d *driver) retry(ctx context.Context, takes time.Duration, final func(error) bool, f func(ctx context.Context) error) error {
	wait := orderPauseMin
	for {
		attempt, cancel := context.WithTimeout(ctx, d.cfg.CallTimeout+takes)
		err := f(attempt)
		cancel()
		if err == nil || final(err) || ctx.Err() != nil {
			return err
		}
		pause(ctx, wait)
		wait = min(2*wait, orderPauseMax)
	}
}

// lasting reports whether asking again cannot help: the other side answered,
// and what it said does not change by itself. No connection, a deadline and an
// unknown outcome are worth another try (R9).
func lasting(err error) bool {
	code, _ := api.CodeOf(err)
	switch code {
	case api.NetConnect, api.Deadline, api.OutcomeUnknown, api.Busy, api.NotReady, api.Cancelled, api.PromiseAlive:
		return false
	}
	return true
}

// stale reports whether the other side has seen a higher stamp: this order is
// late, and somebody else goes on.
func stale(err error) bool { return errors.Is(err, api.ErrStaleGeneration) }

// meta is the metadata of the orders of a step.
func (d *driver) meta() wire.Meta { return stamped(d.stamp, d.id) }

// agent gives an order to the agent of a datasource.
func (d *driver) agent(ctx context.Context, address, name string, meta wire.Meta, body any) (api.AgentState, error) {
	var state api.AgentState
	err := order(ctx, &d.agents, address, name, meta, body, &state)
	return state, err
}

// tell gives an order to a proxy.
func (d *driver) tell(ctx context.Context, p *fsm.Proxy, name string, meta wire.Meta, body any) error {
	return order(ctx, &d.proxies, proxyKey(p.Cluster, p.ID), name, meta, body, nil)
}

// everyProxy gives an order to all proxies on the cluster's list at once, to
// each again until it answers or the wait is over. All must obey. One that does
// not have the host group cannot write to it, and counts as obeying. One that is silent
// for a lease is not waited for.
func (d *driver) everyProxy(ctx context.Context, s *fsm.Switch, wait time.Duration, give func(ctx context.Context, p *fsm.Proxy) error) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		errs []error
		done int
	)
	for _, p := range d.cfg.Store.State().Proxies(s.Cluster) {
		if p.Status == fsm.StatusUnreg {
			continue
		}
		all.Go(func() {
			ctx, cancel := d.heardProxy(ctx, p)
			defer cancel()
			err := d.retry(ctx, wait, lasting, func(ctx context.Context) error { return give(ctx, p) })
			if errors.Is(err, api.ErrNoSuchGroup) {
				err = nil
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("proxy %s: %w", p.ID, err))
				return
			}
			done++
		})
	}
	all.Wait()
	return done, errors.Join(errs...)
}

// source and candidate are the two datasources as they were when the switch
// was requested.
func (d *driver) source(s *fsm.Switch) api.Datasource {
	return api.Datasource{Address: s.FromAddress, ServerID: s.FromServer}
}

func (d *driver) candidate(s *fsm.Switch) api.Datasource {
	return api.Datasource{Address: s.ToAddress, ServerID: s.ToServer}
}
