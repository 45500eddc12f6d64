package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// round asks the agents of all other members of the durable replica set (R18b).
// When all have promised the lease runs from the sending of the round (R18d).
func (a *Agent) round(ctx context.Context) error {
	f := a.failsafe
	taken := a.lease.begun() // before the role is read: what takes it away counts
	f.set.Lock()
	m := a.remembered()
	stamp, err := a.mayAsk(m)
	times := timesOf(m.LeaseMS)
	f.mu.Lock()
	f.rounds++
	f.counts.Rounds++
	id, sent := f.rounds, lease.Now()
	end := sent.Add(times.Failsafe)
	if err == nil {
		f.asking = end // R17: from here on the set stays
	}
	f.mu.Unlock()
	f.set.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asking = 0
	}()
	if err == nil {
		err = a.collect(ctx, m, times, api.PromiseFailsafeRequest{HostGroup: m.HostGroup, Primary: a.db.Address(), Stamp: stamp, Round: id, LeaseMS: times.Failsafe.Milliseconds()})
	}
	if err == nil {
		err = a.holdFailsafe(taken, m, times, end)
	}
	if err != nil {
		f.mu.Lock()
		f.counts.Failed++
		f.mu.Unlock()
	}
	return err
}

// collect returns nil when every other member of the set has promised in time.
func (a *Agent) collect(ctx context.Context, m memory, times lease.Times, body api.PromiseFailsafeRequest) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, times.Round)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	answers, n := make(chan error), 0
	for address := range strings.SplitSeq(m.ReplicaSet, ",") { // R18b
		if address == a.db.Address() {
			continue
		}
		listen, ok := m.peer(address)
		if !ok {
			return fmt.Errorf("the agent of %s is needed, and listens nowhere that is known: start it with --listen", address)
		}
		n++
		all.Go(func() {
			err := a.askOne(ctx, listen, address, body.Round, data)
			select {
			case answers <- err:
			case <-ctx.Done():
			}
		})
	}
	for range n {
		select {
		case err := <-answers:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("not all of %s have promised within %v", m.ReplicaSet, times.Round)
		}
	}
	return nil
}

func (a *Agent) askOne(ctx context.Context, listen, address string, round uint64, body []byte) error {
	resp, err := a.peers.CallAt(ctx, listen, api.PromiseFailsafe, nil, body)
	if err != nil {
		return fmt.Errorf("the agent of %s does not promise: %w", address, err)
	}
	var answer api.PromiseFailsafeAnswer
	if err := json.Unmarshal(resp.Data, &answer); err != nil {
		return fmt.Errorf("the promise of %s cannot be read: %w", address, err)
	}
	if answer.Address != address || answer.Round != round { // R18d
		return fmt.Errorf("round %d of %s was answered as round %d by %s", round, address, answer.Round, answer.Address)
	}
	return nil
}

// holdFailsafe takes the lease that a round has won, unless something was learnt
// meanwhile that forbids it.
func (a *Agent) holdFailsafe(taken uint64, asked memory, times lease.Times, end lease.Instant) error {
	m := a.remembered()
	stamp, err := a.mayAsk(m)
	switch {
	case err != nil:
		return err
	case m.ReplicaSet != asked.ReplicaSet || stamp != asked.Stamp:
		return fmt.Errorf("%w: the group changed while promises were asked for", errNotNow)
	}
	f := a.failsafe
	f.mu.Lock()
	if lease.Since(f.heard) < times.Silence() {
		f.mu.Unlock()
		return fmt.Errorf("%w: a keeper answered while promises were asked for", errNotNow)
	}
	if !a.lease.extend(taken, end, times, stamp) {
		f.mu.Unlock()
		return fmt.Errorf("%w: the role was taken away while promises were asked for", errNotNow)
	}
	f.until = max(f.until, end)
	begins := f.since.IsZero()
	if begins {
		f.since = time.Now()
		f.counts.Begun++
	}
	f.mu.Unlock()
	if begins {
		a.log.Warn("failsafe holds: no keeper answers, and the agents of all replicas have promised to accept no promotion",
			"datasource", a.db.Address(), "replicas", asked.ReplicaSet, "stamp", stamp, "lease", times.Failsafe)
	}
	a.wantWritable(m)
	return nil
}
