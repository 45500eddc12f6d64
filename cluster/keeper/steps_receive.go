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
	"github.com/zerokeeper/zero/transport/wire"
)

// catchingUp waits until the new primary has all that counts. The transition
// that it leads to is the commit point.
func (d *driver) catchingUp(ctx context.Context, s *fsm.Switch) outcome {
	if s.Position.GTIDPos != "" {
		return d.reachPosition(ctx, s)
	}
	return d.gatherReceived(ctx, s)
}

// reachPosition waits until the candidate has applied all that the fenced
// primary has.
func (d *driver) reachPosition(ctx context.Context, s *fsm.Switch) outcome {
	wait := time.Duration(s.Settings.BinlogWait)
	ctx, cancel := context.WithTimeout(ctx, wait+d.waits.grace)
	defer cancel()
	body := waitPosition(s, s.Position, wait)
	reached, err := d.reachedEarly()
	if err != nil {
		err = d.retry(ctx, wait, lasting, func(ctx context.Context) (err error) {
			reached, err = d.agent(ctx, s.ToAddress, api.WaitPosition, d.meta(), body)
			return err
		})
	}
	switch {
	case d.aborted() != nil:
		return undo(fsm.StateRollingBack, d.aborted())
	case err != nil:
		code, _ := api.CodeOf(err)
		if code != api.NotPrepared && code != api.IdentityMismatch {
			code = api.BinlogInconsistent
		}
		return undo(fsm.StateRollingBack, api.Errorf(code, "%s did not reach %s in %s: %v", s.ToAddress, s.Position.GTIDPos, wait, err))
	case reached.Incarnation != incarnationOf(s, s.ToAddress): // R13
		return undo(fsm.StateRollingBack, api.Errorf(api.NotPrepared, "the agent of %s was restarted since it was prepared", s.ToAddress))
	}
	note := s.ToAddress + " has applied all of it"
	if reached.Binlog != nil {
		note += fmt.Sprintf(", executed to %s:%d", reached.Binlog.File, reached.Binlog.Position)
	}
	return next(fsm.StatePromoting, note)
}

// incarnationOf is that of the agent which was prepared; empty when none was.
func incarnationOf(s *fsm.Switch, address string) string {
	for _, p := range s.Prepared {
		if p.Address == address {
			return p.Incarnation
		}
	}
	if address == s.ToAddress && len(s.Prepared) == 0 { // recorded by an older keeper
		return s.Incarnation
	}
	return ""
}

// gatherReceived is the way when nobody knows where the old primary stands.
//
// R19: every recorded replica, which may have acknowledged a write, stops to receive, for
// good; only then positions are compared. The new primary has, applied, all that
// any of them received. When one is missing a lossless failover is refused.
func (d *driver) gatherReceived(ctx context.Context, s *fsm.Switch) outcome {
	wait := time.Duration(s.Settings.BinlogWait)
	ctx, cancel := context.WithTimeout(ctx, 2*wait+d.waits.grace)
	defer cancel()
	policy := s.Policy
	if policy == "" { // of a planned switch
		policy = fsm.PolicyLossless
	}
	rows, list := d.stopReceiving(ctx, s, policy, wait)
	back := func(err error) outcome {
		out := undo(fsm.StateRollingBack, err)
		if abort := d.aborted(); abort != nil {
			out = undo(fsm.StateRollingBack, abort)
		}
		out.Replicas = rows
		return out
	}
	found, err := choose(list, policy)
	if err != nil {
		return back(err)
	}
	chosen := list[slices.IndexFunc(list, func(c contender) bool { return c.address == found.address })]
	var drained api.AgentState
	body := api.DrainDatasourceRequest{HostGroup: s.Group, Candidate: d.member(s, found.address), TimeoutMS: wait.Milliseconds()}
	err = d.retry(ctx, wait, lasting, func(ctx context.Context) (err error) {
		drained, err = d.agent(ctx, found.address, api.DrainDatasource, d.meta(), body)
		return err
	})
	if err != nil {
		code, _ := api.CodeOf(err)
		return back(api.Errorf(code, "%s did not apply what it has received: %v", found.address, err))
	}
	if drained.Incarnation != incarnationOf(s, found.address) { // R13
		return back(api.Errorf(api.NotPrepared, "the agent of %s was restarted since it was prepared", found.address))
	}
	received, err := parseGTIDs(chosen.received)
	if err != nil {
		return back(err)
	}
	applied, err := parseGTIDs(appliedOf(drained))
	if err != nil || !applied.covers(received) {
		return back(api.Errorf(api.NotDrained, "%s has applied %q, and received %s", found.address, appliedOf(drained), chosen.received))
	}
	if d.aborted() != nil {
		return back(d.aborted())
	}
	if text := d.degradedText(s.Group); text != "" { // the policy allows it, or the preflight had refused
		found.lost = strings.Join(append(nonEmpty(found.lost), "the group was "+text), "; ")
	}
	note := fmt.Sprintf("%s has applied all that it received, %s", found.address, chosen.received)
	if found.lost == "" {
		note += ", and no replica has more"
	} else {
		note += "; may be lost: " + found.lost
		d.log.Warn("a failover may lose writes, as its policy allows", "switch", s.ID, "lost", found.lost)
	}
	passed := ignored(list, d.bystanders(d.cfg.Store.State().Group(s.Group), s.FromAddress), found.address)
	for _, what := range passed {
		note += "; " + what
		d.log.Warn("a failover passes over a server that has more", "switch", s.ID, "what", what)
	}
	found.why = strings.Join(append([]string{found.why}, passed...), "; ")
	out := next(fsm.StatePromoting, note)
	out.Chosen, out.Replicas, out.MayBeLost, out.Incarnation = found.address, rows, found.lost, drained.Incarnation
	out.Checks = []fsm.Check{choiceCheck(list, found)}
	return out
}

func nonEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// stopReceiving stops the replication of every recorded replica, and says what each has
// received. Under PolicyAvailable one that does not answer is waited for only a
// moment.
func (d *driver) stopReceiving(ctx context.Context, s *fsm.Switch, policy string, wait time.Duration) ([]fsm.Replica, []contender) {
	if policy == fsm.PolicyAvailable {
		wait = min(wait, d.waits.grace)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	addresses := d.recorded(s)
	rows, list := make([]fsm.Replica, len(addresses)), make([]contender, len(addresses))
	var all sync.WaitGroup
	for i, address := range addresses {
		all.Go(func() { rows[i], list[i] = d.stopReceivingOne(ctx, s, policy, address) })
	}
	all.Wait()
	return rows, list
}

func (d *driver) stopReceivingOne(ctx context.Context, s *fsm.Switch, policy, address string) (fsm.Replica, contender) {
	var state api.AgentState
	body := api.StopReceivingDatasourceRequest{HostGroup: s.Group, Primary: d.source(s)}
	final := func(err error) bool {
		return lasting(err) || policy == fsm.PolicyAvailable && d.away(err)
	}
	err := d.retry(ctx, 0, final, func(ctx context.Context) (err error) {
		if state, err = d.agent(ctx, address, api.StopReceivingDatasource, d.meta(), body); err == nil && state.Receiving {
			err = api.Errorf(api.NotReady, "it still receives")
		}
		return err
	})
	row := fsm.Replica{Address: address}
	c := contender{address: address}
	if err != nil {
		row.Note, c.excluded = oneLine(err), oneLine(err)
		return row, c
	}
	row.Stopped, row.Received = true, receivedOf(state)
	c.stopped, c.received, c.applied = true, row.Received, appliedOf(state)
	if isOutside(state) {
		c = outside(c, s, state)
		row.Stopped, row.Received, row.Note = c.stopped, c.received, c.excluded
		return row, c
	}
	d.rank(&c, d.cfg.Store.State(), s.Settings, s.FromAddress)
	switch prepared := incarnationOf(s, address); {
	case d.membership(s.Group, address) != fsm.ReplicaMember:
		c.excluded = notMember(d.membership(s.Group, address))
	case !slices.Contains(d.candidates(s), address):
		c.excluded = "another was asked for"
		if s.Any {
			c.excluded = "it is in never"
		}
	case prepared == "":
		c.excluded = "it was not prepared"
	case prepared != state.Incarnation: // R13
		c.excluded = "its agent was restarted since it was prepared"
	case state.Dead:
		c.excluded = "its server is dead"
	case state.Unfit != "":
		c.excluded = state.Unfit
	}
	row.Note = c.excluded
	return row, c
}

// away reports whether the other side is not connected to a leader that has led
// for so long that it should be.
func (d *driver) away(err error) bool {
	return errors.Is(err, wire.ErrNotConnected) && d.presence.age() > d.times.Lease
}

// receivedOf is what a replica has received.
func receivedOf(s api.AgentState) string {
	if s.Received == "" && s.Binlog != nil {
		return s.Binlog.GTIDIOPos
	}
	return s.Received
}

// appliedOf is what a replica has applied.
func appliedOf(s api.AgentState) string {
	if s.Applied == "" && s.Binlog != nil {
		return s.Binlog.GTIDSlavePos
	}
	return s.Applied
}

// resume lets the replicas receive from the old primary again, after a failover
// that was rolled back.
func (d *driver) resume(ctx context.Context, s *fsm.Switch, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	meta := d.meta()
	var all sync.WaitGroup
	for _, address := range d.recorded(s) {
		all.Go(func() {
			err := d.retry(ctx, d.waits.role, lasting, func(ctx context.Context) error {
				_, err := d.agent(ctx, address, api.ResumeDatasource, meta, api.ResumeDatasourceRequest{HostGroup: s.Group, Primary: d.source(s)})
				return err
			})
			if err != nil {
				d.log.Warn("a replica was not told to receive again; its heartbeat tells it whom to follow", "switch", s.ID, "datasource", address, "error", err)
			}
		})
	}
	all.Wait()
}
