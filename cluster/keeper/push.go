package keeper

import (
	"context"
	"maps"
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
	failed map[string]failedPush
}

// failedPush is the last delivery to a proxy, when it failed.
type failedPush struct {
	at     time.Time
	config string // that the proxy refused; empty when it did not answer
}

func newPushes() *pushes {
	return &pushes{busy: map[string]bool{}, failed: map[string]failedPush{}}
}

const (
	// pushRetry is the pause after a delivery in the background that failed.
	pushRetry = 5 * time.Second
	// pushTurn is how often a delivery looks whether it is its turn.
	pushTurn = 10 * time.Millisecond
	// maxDeliveries bounds how many proxies are given a configuration at once by
	// one push: each has a copy on its way.
	maxDeliveries = 64
	// refusalKept is for how long a refusal is remembered; after it a proxy that
	// still says that it refused something is asked once more.
	refusalKept = time.Hour
)

// begin claims the proxy; false when a delivery runs, or failed just now.
func (p *pushes) begin(key string, background bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f, ok := p.failed[key]; p.busy[key] || (background && ok && time.Since(f.at) < pushRetry) {
		return false
	}
	p.busy[key] = true
	return true
}

// end gives the proxy back. refused names the configuration that it refused.
func (p *pushes) end(key, refused string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, key)
	if delete(p.failed, key); err != nil {
		p.failed[key] = failedPush{time.Now(), refused}
	}
}

// wasRefused reports whether the proxy refused that configuration last.
func (p *pushes) wasRefused(key, config string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed[key].config == config
}

// forget drops what is old.
func (p *pushes) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.failed, func(_ string, f failedPush) bool { return time.Since(f.at) > refusalKept })
}

// delivery is what became of a version at one proxy.
type delivery struct {
	ack     api.ProxyAck
	refused bool // it answered, and will not take it
}

// deliver gives the live version to every proxy that is on the list, and waits
// until all have answered or the wait is over. of names the older version whose
// content it is, when it is a rollback.
func (k *Keeper) deliver(ctx context.Context, term uint64, cluster, id, of string, waitMS int64) []delivery {
	ctx, cancel := context.WithTimeout(ctx, waitFor(waitMS))
	defer cancel()
	var rows []*fsm.Proxy
	for _, row := range k.cfg.Store.State().Proxies(cluster) {
		if row.Status != fsm.StatusUnreg {
			rows = append(rows, row)
		}
	}
	list := make([]delivery, len(rows))
	slots := make(chan struct{}, maxDeliveries)
	var all sync.WaitGroup
	for i, row := range rows {
		slots <- struct{}{} // each ends with ctx
		all.Go(func() {
			list[i] = k.deliverTo(ctx, term, row, id, of)
			<-slots
		})
	}
	all.Wait()
	return list
}

// deliverTo waits for its turn with the proxy.
func (k *Keeper) deliverTo(ctx context.Context, term uint64, row *fsm.Proxy, id, of string) delivery {
	key := proxyKey(row.Cluster, row.ID)
	d := delivery{ack: api.ProxyAck{ID: row.ID}}
	if row.ConfVersion == id && row.ConfError == "" {
		d.ack.Applied = true
		return d
	}
	if _, ok := k.proxies.Get(key); !ok {
		d.ack.Error = "not connected: it takes the configuration when it comes back"
		return d
	}
	for !k.pushes.begin(key, false) {
		if pause(ctx, pushTurn); ctx.Err() != nil {
			d.ack.Error = "no answer yet: another delivery is under way"
			return d
		}
	}
	refused, err := k.pushTo(ctx, term, row, id, of)
	k.pushes.end(key, refused, err)
	switch {
	case err == nil:
		d.ack.Applied = true
		return d
	case refused != "":
		d.ack.Error, d.refused = err.Error(), true
	default:
		d.ack.Error = "no answer yet: " + err.Error()
	}
	k.log.Warn("a proxy did not take the configuration", "cluster", row.Cluster, "proxy", row.ID, "config", id, "error", err)
	return d
}

// pushTo gives one proxy the version id, if that is still the live one, and
// records what it answered; refusal is id when the proxy will not take it. An
// error without a refusal means that it did not answer: its heartbeat will tell
// what it runs.
func (k *Keeper) pushTo(ctx context.Context, term uint64, row *fsm.Proxy, id, of string) (refusal string, err error) {
	live := k.cfg.Store.State().LiveConfig(row.Cluster)
	if live == nil || live.ConfigID != id {
		return "", api.Errorf(api.Cancelled, "version %s of cluster %s was replaced", id, row.Cluster)
	}
	order, cancel := context.WithTimeout(ctx, k.cfg.PushTimeout)
	defer cancel()
	err = k.giveConfig(order, proxyKey(row.Cluster, row.ID), live, of)
	if err != nil && !lasting(err) {
		return "", err
	}
	ack := &fsm.AckConfig{Cluster: row.Cluster, ID: row.ID, Incarnation: row.Incarnation, ConfigID: id}
	if err != nil {
		refusal = id
		ack.ConfigID, ack.Error = row.ConfVersion, err.Error()
		if now := k.cfg.Store.State().Proxy(row.Cluster, row.ID); now != nil {
			ack.ConfigID = now.ConfVersion
		}
	}
	// In the term of the order: another leader may have given it a later version.
	if _, ackErr := refused(k.cfg.Store.ProposeInTerm(ctx, term, fsm.Header{}, ack)); ackErr != nil {
		k.log.Debug("an acknowledgement was not recorded, the proxy's heartbeat repeats it", "proxy", row.ID, "error", ackErr)
	}
	return refusal, err
}

// giveConfig pushes a version. One that restores the content of an older one
// is taken up by RollbackConfig where the proxy kept just that; else the proxy
// refuses (NothingToUndo) and is pushed it.
func (k *Keeper) giveConfig(ctx context.Context, key string, version *fsm.Config, of string) error {
	if of != "" {
		body := api.RollbackConfigRequest{ConfigID: of, NewConfigID: version.ConfigID}
		if err := order(ctx, &k.proxies, key, api.RollbackConfig, nil, body, nil); err == nil || !lasting(err) {
			return err
		}
	}
	return order(ctx, &k.proxies, key, api.PushConfig, nil, api.PushConfigRequest{ConfigID: version.ConfigID, Content: string(version.Content)}, nil)
}

// record proposes what the fleet reported, which is good in any term.
func (k *Keeper) record(ctx context.Context, c fsm.Command) error {
	_, err := refused(k.cfg.Store.Propose(ctx, fsm.Header{}, c))
	return err
}

// pushInBackground gives the live version to a proxy whose heartbeat shows
// another one.
func (k *Keeper) pushInBackground(cluster, id string) {
	key := proxyKey(cluster, id)
	if !k.pushes.begin(key, true) {
		return
	}
	if !k.background(func(ctx context.Context, term uint64) {
		var refused string
		var err error
		state := k.cfg.Store.State()
		if row, live := state.Proxy(cluster, id), state.LiveConfig(cluster); row != nil && live != nil {
			if refused, err = k.pushTo(ctx, term, row, live.ConfigID, ""); err != nil && ctx.Err() == nil {
				k.log.Warn("a proxy did not take the live configuration", "cluster", cluster, "proxy", id, "config", live.ConfigID, "error", err)
			}
		}
		k.pushes.end(key, refused, err)
	}) {
		k.pushes.end(key, "", nil)
	}
}

// activateInBackground tells a proxy that is not on the list to start over.
func (k *Keeper) activateInBackground(cluster, id string) {
	key := proxyKey(cluster, id)
	if !k.pushes.begin(key, true) {
		return
	}
	if !k.background(func(ctx context.Context, _ uint64) {
		ctx, cancel := context.WithTimeout(ctx, k.cfg.PushTimeout)
		defer cancel()
		err := order(ctx, &k.proxies, key, api.ActivateProxy, nil, api.ActivateProxyRequest{}, nil)
		k.pushes.end(key, "", err)
		if err != nil && ctx.Err() == nil {
			k.log.Warn("a proxy could not be activated", "cluster", cluster, "proxy", id, "error", err)
		}
	}) {
		k.pushes.end(key, "", nil)
	}
}

// waitFor bounds a wait that a request named in milliseconds.
func waitFor(ms int64) time.Duration {
	switch wait := time.Duration(ms) * time.Millisecond; {
	case wait <= 0:
		return 10 * time.Second
	case wait > 10*time.Minute:
		return 10 * time.Minute
	default:
		return wait
	}
}
