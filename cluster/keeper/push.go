package keeper

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// pushes lets one delivery at a time go to a proxy, and bounds how often the
// background ones are tried.
type pushes struct {
	mu     sync.Mutex
	busy   map[string]bool
	failed map[string]time.Time
}

func newPushes() *pushes {
	return &pushes{busy: map[string]bool{}, failed: map[string]time.Time{}}
}

// pushRetry is the pause after a delivery in the background that failed.
const pushRetry = 5 * time.Second

// begin claims the proxy; false when a delivery runs, or failed just now.
func (p *pushes) begin(key string, background bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy[key] || (background && time.Since(p.failed[key]) < pushRetry) {
		return false
	}
	p.busy[key] = true
	return true
}

func (p *pushes) end(key string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, key)
	if delete(p.failed, key); err != nil {
		p.failed[key] = time.Now()
	}
}

// deliver gives a version to every proxy that is on the list, and waits until
// all have answered or the wait is over. of names the older version whose
// content it is, when it is a rollback.
func (k *Keeper) deliver(ctx context.Context, cluster, id, of string, waitMS int64) []api.ProxyAck {
	ctx, cancel := context.WithTimeout(ctx, waitFor(waitMS))
	defer cancel()
	var all sync.WaitGroup
	state := k.cfg.Store.State()
	for _, row := range state.Proxies(cluster) {
		if row.Status != fsm.StatusUnreg {
			all.Go(func() { k.deliverTo(ctx, row, id, of) })
		}
	}
	all.Wait()
	list := acks(k.cfg.Store.State(), cluster, id)
	for i := range list {
		if a := &list[i]; !a.Applied && a.Error == "" {
			if _, ok := k.proxies.Get(proxyKey(cluster, a.ID)); !ok {
				a.Error = "not connected: it takes the configuration when it comes back"
			} else {
				a.Error = "no answer yet"
			}
		}
	}
	return list
}

// deliverTo waits for its turn with the proxy.
func (k *Keeper) deliverTo(ctx context.Context, row *fsm.Proxy, id, of string) {
	key := proxyKey(row.Cluster, row.ID)
	if _, ok := k.proxies.Get(key); !ok {
		return // it fetches the live version when it connects
	}
	for !k.pushes.begin(key, false) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	err := k.pushTo(ctx, row, id, of)
	k.pushes.end(key, err)
	if err != nil {
		k.log.Warn("a proxy did not take the configuration", "cluster", row.Cluster, "proxy", row.ID, "config", id, "error", err)
	}
}

// pushTo gives one proxy a version by PushConfig; if it runs the version before
// and the new one restores that before it, by RollbackConfig. The outcome is
// recorded.
func (k *Keeper) pushTo(ctx context.Context, row *fsm.Proxy, id, of string) error {
	state := k.cfg.Store.State()
	version := configOf(state, row.Cluster, id)
	if version == nil {
		return api.Errorf(api.KeyMissing, "cluster %s has no version %s", row.Cluster, id)
	}
	ctx, cancel := context.WithTimeout(ctx, k.cfg.PushTimeout)
	defer cancel()
	key := proxyKey(row.Cluster, row.ID)
	err := error(api.ErrCancelled)
	if of != "" {
		// The proxy refuses (NothingToUndo) unless it kept just that version.
		err = order(ctx, &k.proxies, key, api.RollbackConfig, nil, api.RollbackConfigRequest{ConfigID: of, NewConfigID: id}, nil)
	}
	if err != nil {
		err = order(ctx, &k.proxies, key, api.PushConfig, nil, api.PushConfigRequest{ConfigID: id, Content: string(version.Content)}, nil)
	}
	ack := &fsm.AckConfig{Cluster: row.Cluster, ID: row.ID, Incarnation: row.Incarnation, ConfigID: id}
	if err != nil {
		var answered *api.Error
		if !errors.As(err, &answered) || errors.Is(err, api.ErrOutcomeUnknown) || answered.Code == api.NetConnect {
			return err // it did not answer: its heartbeat will tell what it runs
		}
		ack.ConfigID, ack.Error = row.ConfVersion, err.Error()
	}
	if _, perr := refused(k.cfg.Store.Propose(ctx, fsm.Header{}, ack)); perr != nil {
		return perr
	}
	return err
}

// pushInBackground gives the live version to a proxy whose heartbeat shows
// another one.
func (k *Keeper) pushInBackground(cluster, id string) {
	k.background(func(ctx context.Context) {
		state := k.cfg.Store.State()
		row, live := state.Proxy(cluster, id), state.LiveConfig(cluster)
		key := proxyKey(cluster, id)
		if row == nil || live == nil || !k.pushes.begin(key, true) {
			return
		}
		err := k.pushTo(ctx, row, live.ConfigID, "")
		k.pushes.end(key, err)
		if err != nil && ctx.Err() == nil {
			k.log.Warn("a proxy did not take the live configuration", "cluster", cluster, "proxy", id, "config", live.ConfigID, "error", err)
		}
	})
}

// activateInBackground tells a proxy that is not on the list to start over.
func (k *Keeper) activateInBackground(cluster, id string) {
	k.background(func(ctx context.Context) {
		key := proxyKey(cluster, id)
		if !k.pushes.begin(key, true) {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, k.cfg.PushTimeout)
		defer cancel()
		err := order(ctx, &k.proxies, key, api.ActivateProxy, nil, api.ActivateProxyRequest{}, nil)
		k.pushes.end(key, err)
		if err != nil && ctx.Err() == nil {
			k.log.Warn("a proxy could not be activated", "cluster", cluster, "proxy", id, "error", err)
		}
	})
}
