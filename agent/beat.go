package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/host"
)

// defaultBeat is the pause between heartbeats until a keeper names one.
const defaultBeat = 400 * time.Millisecond

// Run sends heartbeats and obeys what their answers say, until ctx ends. Errors
// are told once, not at every beat.
func (a *Agent) Run(ctx context.Context, link Link) {
	pause := defaultBeat
	failing := ""
	for seq := uint64(1); ctx.Err() == nil; seq++ {
		interval, err := a.beatOnce(ctx, link, seq)
		if interval > 0 {
			pause = min(max(interval, 50*time.Millisecond), 10*time.Second)
		}
		switch text := errorText(err); {
		case ctx.Err() != nil:
		case err != nil && failing == "":
			failing = text
			a.log.Warn("a heartbeat failed; going on with what holds", "error", err)
		case err == nil && failing != "":
			failing = ""
			a.log.Info("heartbeats succeed again")
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// beatOnce sends one heartbeat and makes the server what the answer says.
func (a *Agent) beatOnce(ctx context.Context, link Link, seq uint64) (interval time.Duration, err error) {
	state, stateErr := a.ask(ctx)
	answer, err := a.send(ctx, link, seq, state)
	if err != nil {
		return 0, err
	}
	interval = time.Duration(answer.IntervalMS) * time.Millisecond
	a.mu.Lock()
	a.heard = true
	a.mu.Unlock()
	if stateErr != nil {
		return interval, nil // nothing can be done to a server that does not answer
	}
	for _, grant := range answer.Grants {
		if err := a.obey(ctx, grant, state); err != nil {
			return interval, err
		}
	}
	return interval, nil
}

func (a *Agent) send(ctx context.Context, link Link, seq uint64, state mysql.State) (api.HeartbeatAnswer, error) {
	var answer api.HeartbeatAnswer
	m := a.remembered()
	a.mu.Lock()
	beat := api.AgentHeartbeatRequest{
		Address: a.db.Address(), SystemInfo: host.SystemInfo(), Seq: seq, Incarnation: a.incarnation, Version: a.cfg.Version,
		ServerID: state.Identity, ReadOnly: state.ReadOnly, Role: roleOf(state), Stamp: m.Stamp, HostGroup: m.HostGroup, Alarm: a.alarm,
	}
	a.mu.Unlock()
	if state.Reachable {
		beat.MySQL = api.MySQLStatus{Status: 1, Connected: int(state.Connections)}
	}
	data, err := json.Marshal(beat)
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.CallTimeout)
	defer cancel()
	resp, err := link.Call(ctx, api.AgentHeartbeat, nil, data)
	if err != nil {
		return answer, fmt.Errorf("%s: %w", api.AgentHeartbeat, err)
	}
	if err := json.Unmarshal(resp.Data, &answer); err != nil {
		return answer, fmt.Errorf("%s: the answer cannot be read: %w", api.AgentHeartbeat, err)
	}
	if answer.Seq != seq {
		return answer, fmt.Errorf("heartbeat %d was answered as %d", seq, answer.Seq)
	}
	return answer, nil
}

// obey makes the server what the newest grant says (R14). Nothing is done while
// it already is, nor while a switch is between stopping and the commit: then
// its orders come one by one.
func (a *Agent) obey(ctx context.Context, grant api.Grant, state mysql.State) error {
	if !a.role.TryLock() {
		return nil // an order is being obeyed: look again at the next beat
	}
	defer a.role.Unlock()
	m := a.notes.memory
	if grant.Stamp.Compare(m.Stamp) < 0 && m.HostGroup == grant.HostGroup {
		return nil // older than what was seen
	}
	mine := grant.Primary.Address == a.db.Address()
	if mine {
		if err := a.isMe(grant.Primary); err != nil {
			a.setAlarm(err.Error())
			return nil
		}
	}
	m.HostGroup, m.Stamp, m.Committed = grant.HostGroup, grant.Stamp, grant.Committed
	switch {
	case mine && grant.Open:
		m.Role = rolePrimary
	case !mine:
		m.Role = roleNotPrimary
	}
	if err := a.remember(m); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.RoleTimeout)
	defer cancel()
	switch {
	case !mine:
		return a.bePrimaryNoMore(ctx, grant, state)
	case grant.Open:
		return a.bePrimary(ctx, grant, state)
	}
	return nil
}

// bePrimary makes the server writable, unless it is.
func (a *Agent) bePrimary(ctx context.Context, grant api.Grant, state mysql.State) error {
	var err error
	switch {
	case state.Replication == nil && !state.ReadOnly:
		a.setAlarm("")
		return nil
	case state.Replication == nil:
		a.log.Info("this server is the primary: making it writable", "stamp", grant.Stamp)
		err = a.db.Unfence(ctx)
	case grant.Committed != 0 && a.notes.Prepared == grant.Committed:
		a.log.Info("this server was committed as the primary: promoting it", "stamp", grant.Stamp)
		_, err = a.db.Promote(ctx)
	default:
		a.setAlarm(fmt.Sprintf("the configuration names this server as writable, but it replicates from %s: correct active_write, or switch to it", state.Replication.Source()))
		return nil
	}
	if err == nil {
		a.setAlarm("")
		_, err = a.ask(ctx)
	} else {
		a.setAlarm("this server should be writable and is not: " + err.Error())
	}
	return databaseError(err)
}

// bePrimaryNoMore makes the server a read-only replica of the primary, unless
// it is.
func (a *Agent) bePrimaryNoMore(ctx context.Context, grant api.Grant, state mysql.State) error {
	if !state.ReadOnly {
		a.log.Warn("this server is not the primary, but writable: making it read-only", "primary", grant.Primary.Address, "stamp", grant.Stamp)
		if err := a.db.SetReadOnly(ctx); err != nil {
			a.setAlarm("this server is writable and should not be: " + err.Error())
			return databaseError(err)
		}
	}
	if step := grant.Stamp.Step; step != api.StepRequested && step != api.StepPromoting && step != api.StepIdle {
		return nil // in the middle of a switch: replication is left alone
	}
	r := state.Replication
	switch {
	case r != nil && r.Source() == grant.Primary.Address && r.Running():
		a.setAlarm("")
		return nil
	case r == nil && grant.Committed == 0:
		a.setAlarm(fmt.Sprintf("this server does not replicate from %s: set replication up, or clone it", grant.Primary.Address))
		return nil
	case r != nil && r.Source() != grant.Primary.Address && grant.Committed == 0:
		a.setAlarm(fmt.Sprintf("this server replicates from %s, but %s is writable", r.Source(), grant.Primary.Address))
		return nil
	}
	source, err := sourceOf(grant.Primary)
	if err != nil {
		return err
	}
	if _, err := a.db.Follow(ctx, source); err != nil {
		text := "this server does not follow " + grant.Primary.Address + ": " + err.Error()
		if errors.Is(err, mysql.ErrErrant) {
			text += "; save its errant transactions and clone it"
		}
		a.setAlarm(text)
		return databaseError(err)
	}
	a.setAlarm("")
	a.log.Info("following", "primary", grant.Primary.Address, "stamp", grant.Stamp)
	_, err = a.ask(ctx)
	return err
}
