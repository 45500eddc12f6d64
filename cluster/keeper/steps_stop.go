package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// recheck is how often a wait for a lease looks whether its holder is heard again.
const recheck = 20 * time.Millisecond

// failover reports whether the old primary is taken for gone.
func failover(s *fsm.Switch) bool { return s.Kind == fsm.KindFailover }

// stopping prepares the candidates, and then holds the writes on every proxy.
// R13: fencing needs a candidate that is prepared, and every proxy stopped or out.
func (d *driver) stopping(ctx context.Context, s *fsm.Switch) outcome {
	drain := time.Duration(s.Settings.DrainTimeout)
	ctx, cancel := context.WithTimeout(ctx, max(drain, d.times.Wait)+d.waits.grace+d.promiseWait(s))
	defer cancel()
	prepared, err := d.prepare(ctx, s)
	switch {
	case d.aborted() != nil:
		return undo(fsm.StateRollingBack, d.aborted())
	case err != nil:
		return undo(fsm.StateRollingBack, err)
	}
	stopped, err := d.stopWriting(ctx, s, drain+d.waits.grace)
	switch {
	case d.aborted() != nil:
		return undo(fsm.StateRollingBack, d.aborted())
	case err != nil:
		code, _ := api.CodeOf(err)
		if code != api.DrainTimeout {
			code = api.ProxyNotStopped
		}
		return undo(fsm.StateRollingBack, api.Errorf(code, "stop writing: %s", oneLine(err)))
	}
	out := next(fsm.StateFencing, stoppedNote(stopped)+", candidate prepared")
	out.Incarnation, out.Prepared, out.Stopped = prepared[0].Incarnation, prepared, stopped
	return out
}

// stoppedNote sums up how the proxies came to write no more.
func stoppedNote(list []fsm.Stopped) string {
	var waited []string
	for _, p := range list {
		if p.How != api.ProxyStopped {
			waited = append(waited, fmt.Sprintf("%s: %s (%s)", p.Proxy, p.How, p.Note))
		}
	}
	note := fmt.Sprintf("%d proxies stopped with nothing in flight", len(list)-len(waited))
	if len(waited) > 0 {
		note += "; " + strings.Join(waited, "; ")
	}
	return note
}

// candidates are those that may become the primary of this switch: members of the
// record (R17).
func (d *driver) candidates(s *fsm.Switch) []string {
	if !s.Any {
		return []string{s.ToAddress}
	}
	list := []string{s.ToAddress}
	for i, address := range s.Members {
		if i != s.From && address != s.ToAddress && !slices.Contains(s.Settings.Never, address) && d.membership(s.Group, address) == fsm.ReplicaMember {
			list = append(list, address)
		}
	}
	return list
}

// prepare prepares every candidate. One is enough when the choice is the
// keeper's: those that do not answer soon cannot be chosen.
func (d *driver) prepare(ctx context.Context, s *fsm.Switch) ([]fsm.Prepared, error) {
	list := d.candidates(s)
	if s.Any {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.waits.grace+d.promiseWait(s))
		defer cancel()
	}
	prepared, errs := make([]fsm.Prepared, len(list)), make([]error, len(list))
	var all sync.WaitGroup
	for i, address := range list {
		all.Go(func() { prepared[i], errs[i] = d.prepareOne(ctx, s, address) })
	}
	all.Wait()
	prepared = slices.DeleteFunc(prepared, func(p fsm.Prepared) bool { return p.Address == "" })
	if len(prepared) == 0 {
		code, _ := api.CodeOf(errs[0])
		return nil, api.Errorf(code, "%s", oneLine(errors.Join(errs...)))
	}
	return prepared, nil
}

func (d *driver) prepareOne(ctx context.Context, s *fsm.Switch, address string) (fsm.Prepared, error) {
	var state api.AgentState
	body := api.PrepareDatasourceRequest{HostGroup: s.Group, Candidate: d.member(s, address), LeaseMS: d.times.Lease.Milliseconds()}
	final := func(err error) bool { return lasting(err) || s.Any && d.away(err) }
	ctx, more, cancel := d.patient(ctx, s)
	defer cancel()
	err := d.retry(ctx, 0, final, func(ctx context.Context) (err error) {
		state, err = d.agent(ctx, address, api.PrepareDatasource, d.meta(), body)
		return d.outlivePromise(ctx, address, err, more)
	})
	switch {
	case err != nil:
		return fsm.Prepared{}, fmt.Errorf("prepare %s: %w", address, err)
	case state.Incarnation == "" || state.Prepared != s.Generation:
		return fsm.Prepared{}, api.Errorf(api.NotPrepared, "the agent of %s did not confirm that it is prepared for generation %d", address, s.Generation)
	}
	return fsm.Prepared{Address: address, Incarnation: state.Incarnation}, nil
}

// member is a datasource of the switch with its identity: of the two that the
// switch is about, as it was when it was requested.
func (d *driver) member(s *fsm.Switch, address string) api.Datasource {
	switch address {
	case s.ToAddress:
		return d.candidate(s)
	case s.FromAddress:
		return d.source(s)
	}
	return datasource(d.cfg.Store.State(), address)
}

// stopWriting stops every proxy. When one refuses, the others are not waited
// for: they would be held for nothing.
func (d *driver) stopWriting(ctx context.Context, s *fsm.Switch, wait time.Duration) ([]fsm.Stopped, error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		errs    []error
		stopped []fsm.Stopped
	)
	// Those that are not on the list have no lease (R5).
	for _, p := range d.cfg.Store.State().Proxies(s.Cluster) {
		if p.Status == fsm.StatusUnreg {
			continue
		}
		all.Go(func() {
			how, err := d.stopProxy(ctx, s, p, wait)
			if err != nil && lasting(err) {
				giveUp(fmt.Errorf("proxy %s: %w", p.ID, err))
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("proxy %s: %w", p.ID, err))
				return
			}
			stopped = append(stopped, how)
		})
	}
	all.Wait()
	err := errors.Join(errs...)
	if refusal := context.Cause(ctx); err != nil && refusal != nil && !errors.Is(refusal, ctx.Err()) {
		err = refusal
	}
	slices.SortFunc(stopped, func(a, b fsm.Stopped) int { return strings.Compare(a.Proxy, b.Proxy) })
	return stopped, err
}

// stopProxy returns when the proxy confirmed that nothing is in flight, or has
// no lease any more (R2). In a planned switch one that is heard is given its time
// to drain, and may refuse. In a failover nothing is waited for but the lease: a
// transaction on a primary that is gone does not end.
func (d *driver) stopProxy(ctx context.Context, s *fsm.Switch, p *fsm.Proxy, wait time.Duration) (fsm.Stopped, error) {
	ctx, cancel := context.WithTimeout(ctx, max(wait, d.times.Wait+d.waits.grace))
	defer cancel()
	meta := d.meta()
	body := api.StopWritingProxyDatasourceRequest{HostGroup: s.Group, Index: s.From, Primary: d.source(s), Sever: failover(s)}
	answered := make(chan error, 1)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	asking.Go(func() {
		answered <- d.retry(ctx, wait, lasting, func(ctx context.Context) error {
			return d.tell(ctx, p, api.StopWritingProxyDatasource, meta, body)
		})
	})
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	reason, ended := "not reached", ctx.Done()
	for {
		select {
		case err := <-answered:
			switch {
			case err == nil:
				return fsm.Stopped{Proxy: p.ID, How: api.ProxyStopped}, nil
			case errors.Is(err, api.ErrNoSuchGroup): // it cannot write to what it does not have
				return fsm.Stopped{Proxy: p.ID, How: api.ProxyStopped, Note: "it does not have the host group"}, nil
			case ctx.Err() != nil || !failover(s):
				if how, ok := d.proxyOut(s, p, oneLine(err)); ok && !lasting(err) {
					return how, nil
				}
				return fsm.Stopped{}, err
			}
			reason, answered = oneLine(err), nil // there is no second answer
		case <-tick.C:
			if how, ok := d.proxyOut(s, p, reason); ok {
				return how, nil
			}
		case <-ended:
			if answered == nil {
				return fsm.Stopped{}, api.Errorf(api.ProxyNotStopped, "%s", reason)
			}
			ended = nil // asking ends as well, and its answer says more
		}
	}
}

// proxyOut reports whether a proxy has no lease for the group any more.
func (d *driver) proxyOut(s *fsm.Switch, p *fsm.Proxy, reason string) (fsm.Stopped, bool) {
	key := proxyKey(p.Cluster, p.ID)
	_, age, _ := d.presence.proxy(key)
	if _, connected := d.proxies.Get(key); !failover(s) && connected && age < d.times.Lease {
		return fsm.Stopped{}, false // it is heard, and drains
	}
	if d.leases.out(proxyHolder(p.Cluster, p.ID), s.Group, d.times.Wait) > 0 {
		return fsm.Stopped{}, false
	}
	return fsm.Stopped{Proxy: p.ID, How: api.LeaseOut, Note: fmt.Sprintf("%s, silent for %v", reason, age.Round(time.Millisecond))}, true
}
