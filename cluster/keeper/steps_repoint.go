package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// followers are the members that are to follow the new primary.
func followers(s *fsm.Switch) []string {
	return slices.DeleteFunc(slices.Clone(s.Members), func(address string) bool { return address == s.ToAddress })
}

// firstFollowers are those that are told while the new primary is promoted, since a
// first commit there may need one of them to acknowledge it. The old primary is only
// then among them when nobody else can: it has most to do, and clients would wait for
// what that takes of disks and processors which others need now.
func (d *driver) firstFollowers(s *fsm.Switch) []string {
	all := followers(s)
	others := slices.DeleteFunc(slices.Clone(all), func(address string) bool { return address == s.FromAddress })
	if slices.ContainsFunc(others, func(address string) bool { return d.acknowledges(s, address) && d.silent(address) == nil }) {
		return others
	}
	return all
}

// acknowledges reports whether the record names a server as one that may (R20).
func (d *driver) acknowledges(s *fsm.Switch, address string) bool {
	state := d.membership(s.Group, address)
	return state == fsm.ReplicaJoining || state == fsm.ReplicaMember
}

// repointing waits until the other servers follow the new primary: most were told
// while it was promoted. It waits for no server that does not come: the record of the
// group does not change before the switch is over (R17), so that nobody could join.
// Its agent goes on, by its heartbeats.
func (d *driver) repointing(ctx context.Context, s *fsm.Switch) outcome {
	if d.followed == nil { // another leader promoted
		d.early = d.firstFollowers(s)
	}
	meta := d.meta()
	ctx, cancel := context.WithTimeout(ctx, d.waits.repoint)
	defer cancel()
	var late []string
	for _, address := range followers(s) {
		if !slices.Contains(d.early, address) {
			late = append(late, address)
		}
	}
	rest := d.begin(func() (int, error) { return d.repoint(ctx, s, late, meta, d.waits.repoint) })
	if d.followed != nil {
		<-d.followed.done
	}
	if d.followed == nil || d.followed.err != nil {
		d.followed = d.begin(func() (int, error) { return d.repoint(ctx, s, d.early, meta, d.waits.repoint) })
		<-d.followed.done
	}
	<-rest.done
	n, err := d.followed.n+rest.n, errors.Join(d.followed.err, rest.err)
	if err != nil {
		if ctx.Err() == nil {
			d.log.Warn("not every replica follows the new primary", "switch", s.ID, "error", err)
		}
		return next(fsm.StateDone, fmt.Sprintf("%d replicas follow %s; not yet, their agents go on: %s", n, s.ToAddress, oneLine(err)))
	}
	return next(fsm.StateDone, fmt.Sprintf("%d replicas follow %s", n, s.ToAddress))
}

// repoint tells members to follow the new primary. A replica whose
// agent is away or silent is not waited for, but for a moment after a change of the
// leader, when it comes back; nor is one that cannot follow as it is: its agent goes
// on, or says what is wrong. The old primary of a failover, which was given up, is
// told, and waited for no longer than the others and a moment.
func (d *driver) repoint(ctx context.Context, s *fsm.Switch, addresses []string, meta wire.Meta, wait time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		errs []error
		done int
	)
	began := time.Now()
	for _, address := range addresses {
		all.Go(func() {
			ctx, cancel := d.whileHeard(ctx, func() time.Duration { _, age, _ := d.presence.agent(address); return age })
			defer cancel()
			if failover(s) && address == s.FromAddress {
				var moment context.CancelFunc
				ctx, moment = context.WithTimeout(ctx, d.waits.inform)
				defer moment()
			}
			err := d.follow(ctx, s, address, meta, began)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			done++
		})
	}
	all.Wait()
	return done, errors.Join(errs...)
}

func (d *driver) follow(ctx context.Context, s *fsm.Switch, address string, meta wire.Meta, began time.Time) error {
	if err := d.silent(address); err != nil {
		return err
	}
	body := api.FollowDatasourceRequest{HostGroup: s.Group, Replica: datasource(d.cfg.Store.State(), address), Primary: d.candidate(s)}
	body.Acknowledge = d.acknowledges(s, address) // R20
	final := func(err error) bool {
		return lasting(err) || d.away(err) || errors.Is(err, wire.ErrNotConnected) && time.Since(began) > d.waits.grace
	}
	err := d.retry(ctx, d.waits.role, final, func(ctx context.Context) error {
		_, err := d.agent(ctx, address, api.FollowDatasource, meta, body)
		return err
	})
	if err == nil {
		return nil
	}
	if gone := d.silent(address); gone != nil {
		return gone
	}
	return fmt.Errorf("%s: %w", address, err)
}

// silent is why an agent is not asked: it was not heard for a lease. Its connection
// may still stand if its host is gone.
func (d *driver) silent(address string) error {
	if _, age, _ := d.presence.agent(address); age > d.times.Lease {
		return fmt.Errorf("%s: its agent is silent for %v", address, age.Round(time.Millisecond))
	}
	return nil
}
