package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// The world of most tests: cluster shop with the host group orders of three
// datasources, two proxies, an agent each.
const (
	db0 = "10.0.0.1:3306"
	db1 = "10.0.0.2:3306"
	db2 = "10.0.0.3:3306"
)

// document is a configuration; extra lines go to switch, indented by two.
func document(write, basic, switches string) string {
	return fmt.Sprintf(`basic:
  config_name: shop
  user: probe
  password: ${env:PROBE}
%s
switch:
  frequency: 10
  drain_timeout: 1
  fence_timeout: 1
  binlog_wait_time: 1
%s
host_groups:
  - name: orders
    write: %s
`, basic, switches, write)
}

var plainDocument = document(db0+", "+db1+", "+db2, "", "")

// world starts keepers with the usual configuration and everything up.
func world(t *testing.T, size int, content string, tune tuning) *fleet {
	t.Helper()
	f := newFleet(t, size, tune)
	f.must(api.ConfigPush, api.ConfigPushRequest{Content: content}, nil)
	for i, address := range []string{db0, db1, db2} {
		f.agents = append(f.agents, f.agent(fmt.Sprintf("a%d", i), address, fmt.Sprintf("server-%d", i)))
	}
	f.agents[0].set(func(a *actor) { a.readOnly = false })
	f.agents[0].beat()
	for _, id := range []string{"p1", "p2"} {
		f.proxies = append(f.proxies, f.proxy(id))
	}
	f.recorded()
	f.tape.clear()
	return f
}

// recorded waits until every replica is a member of the record.
func (f *fleet) recorded() {
	f.t.Helper()
	eventually(f.t, "the replicas are recorded", func() bool {
		for _, a := range f.agents {
			a.beat()
		}
		g := f.state().Group("orders")
		return len(g.Recorded) == len(g.Datasources)-1 && !slices.ContainsFunc(g.Recorded, func(r fsm.Recorded) bool { return r.State != fsm.ReplicaMember })
	})
}

// agent starts the agent of a read-only server and lets it beat once.
func (f *fleet) agent(id, address, serverID string) *actor {
	f.t.Helper()
	a := &actor{id: id, hello: api.HelloRequest{Role: api.RoleAgent, ID: id, Address: address, Incarnation: id + "-1"}, readOnly: true, serverID: serverID, receiving: true, received: "0-1-99", applied: "0-1-98", source: db0, synced: true}
	a.usual = a.obeyAgent
	f.start(a)
	a.beat()
	return a
}

// proxy starts a proxy with the live configuration and brings it up.
func (f *fleet) proxy(id string) *actor {
	f.t.Helper()
	p := f.proxyOf(id, id+"-1")
	p.up()
	return p
}

// proxyOf starts a proxy process that only connects.
func (f *fleet) proxyOf(id, incarnation string) *actor {
	f.t.Helper()
	p := &actor{id: id, hello: api.HelloRequest{Role: api.RoleProxy, ID: id, Cluster: "shop", Address: id + ":3307", Incarnation: incarnation}, status: api.StatusReady}
	p.usual = p.obeyProxy
	return f.start(p)
}

// up registers the proxy and beats until the keepers hold it for up, with the
// live configuration.
func (a *actor) up() {
	a.f.t.Helper()
	if err := sendBy(a.f.t, a.client.NewSession().Do, api.ProxyRegister, nil, api.ProxyRegisterRequest{}, nil); err != nil {
		a.f.t.Fatal(err)
	}
	eventually(a.f.t, a.id+" is up", func() bool {
		answer := a.beat()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.status, a.confVersion = api.StatusUp, answer.ConfVersion
		return answer.Status == api.StatusUp
	})
}

// beat sends one heartbeat, and another one while its outcome is not known.
func (a *actor) beat() api.HeartbeatAnswer {
	a.f.t.Helper()
	answer, err := a.tryBeat()
	for tries := 0; errors.Is(err, api.ErrOutcomeUnknown) && tries < 10; tries++ {
		answer, err = a.tryBeat()
	}
	if err != nil {
		a.f.t.Errorf("%s: heartbeat: %v", a.id, err)
	}
	return answer
}

func (a *actor) tryBeat() (api.HeartbeatAnswer, error) {
	a.mu.Lock()
	a.seq++
	var name string
	var body any
	if a.hello.Role == api.RoleProxy {
		name, body = api.ProxyHeartbeat, api.ProxyHeartbeatRequest{
			ClusterName: "shop", Address: a.hello.Address, Status: a.status, ConfVersion: a.confVersion, ConfError: a.confError, Seq: a.seq, Incarnation: a.hello.Incarnation,
			Probes: map[string]api.Probe{"orders": {Address: db0, Failures: map[bool]int{true: 9}[a.failing], Error: "2003 refused"}},
			Stamps: a.stamps, Leaseless: a.leaseless,
		}
	} else {
		beat := api.AgentHeartbeatRequest{Address: a.hello.Address, Seq: a.seq, Incarnation: a.hello.Incarnation, ServerID: a.serverID, ReadOnly: a.readOnly, Role: "some", Dead: a.dead, Zone: a.zone, LastLagMS: a.lag, Listen: a.listen}
		if a.readOnly {
			beat.Alarm, beat.Unfit = a.alarm(), a.unfit
			beat.Source, beat.Receiving, beat.HeardMS, beat.Received, beat.Applied = a.source, a.receiving && !a.dead, 5, a.received, a.applied
		}
		if !a.dead {
			beat.MySQL.Status = 1
		}
		beat.SemiSync, beat.Position = a.semiSync(), "0-1-99"
		for _, g := range a.told.Grants {
			if g.Primary.Address == a.hello.Address {
				beat.ReplicaSet, beat.ReplicaVersion = g.ReplicaSet, g.ReplicaVersion
			}
		}
		if a.says != nil {
			a.says(&beat)
		}
		name, body = api.AgentHeartbeat, beat
	}
	seq := a.seq
	a.mu.Unlock()
	var answer api.HeartbeatAnswer
	err := send(a.f.t, a.client, name, nil, body, &answer)
	if err == nil && answer.Seq != seq {
		err = fmt.Errorf("heartbeat %d was answered as %d", seq, answer.Seq)
	}
	if err == nil {
		a.set(func(a *actor) { a.obey(answer) })
	}
	return answer, err
}

// obey does what an answer says of semi-sync. The lock is held.
func (a *actor) obey(answer api.HeartbeatAnswer) {
	if a.deaf {
		return
	}
	a.told = answer
	for _, g := range answer.Grants {
		if g.Primary.Address != a.hello.Address {
			continue
		}
		if a.synced = !g.Degraded; !a.synced {
			a.waiting = 0
		}
	}
}

// semiSync is what an agent says of semi-sync. The lock is held.
func (a *actor) semiSync() api.SemiSync {
	s := api.SemiSync{Managed: true, Known: !a.dead, Acted: a.told.Moment, WaitMS: a.waiting}
	if a.waiting > 0 {
		s.Waiting = 1
	} else {
		s.Clients = 1
	}
	s.Source = !a.readOnly && a.synced
	for _, g := range a.told.Grants {
		s.Replica = g.Acknowledge && a.readOnly
	}
	return s
}

// obeyProxy is how a proxy answers when the test says nothing else.
func (a *actor) obeyProxy(_ context.Context, g given) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch g.name {
	case api.PushConfig:
		a.confVersion, a.confError = bodyOf[api.PushConfigRequest](a.f.t, g).ConfigID, ""
	case api.RollbackConfig:
		return nil, api.Errorf(api.NothingToUndo, "kept nothing")
	case api.UnregisterProxy:
		a.status = api.StatusUnreg
	case api.ActivateProxy:
		a.status = api.StatusReady
	case api.ProxyVoteFetch:
		body := bodyOf[api.ProxyVoteFetchRequest](a.f.t, g)
		return api.ProxyVote{Vote: true, HostGroup: body.HostGroup, ToIndex: body.ToIndex, Failures: 4, Error: "2003 refused", TargetReachable: true}, nil
	}
	return nil, nil
}

// obeyAgent is how an agent answers when the test says nothing else.
func (a *actor) obeyAgent(_ context.Context, g given) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	state := api.AgentState{Address: a.hello.Address, Incarnation: a.hello.Incarnation, ServerID: a.serverID, Version: "10.11.6-MariaDB", Stamp: g.stamp}
	binlog := api.Binlog{File: "bin.000007", Position: 4711, GTIDBinlogPos: "0-1-99", GTIDBinlogState: "0-1-99"}
	switch g.name {
	case api.LoadFetch:
		return api.Load{Load1: 1, Cores: 4}, nil
	case api.BinlogFetch:
		return binlog, nil
	case api.PreflightDatasource:
		state.Binlog = &binlog
		return api.PreflightAnswer{State: state, Checks: []api.Check{{Rule: "log_bin", OK: true, Input: "on"}}}, nil
	case api.PrepareDatasource:
		a.prepared = g.stamp.Generation
	case api.FenceDatasource:
		if a.readOnly = true; !a.dead {
			state.Binlog = &binlog
		}
	case api.StopReceivingDatasource:
		a.receiving = false
	case api.DrainDatasource:
		a.applied = a.received
	case api.ResumeDatasource:
		a.receiving = true
	case api.WaitPosition:
		state.Binlog = &binlog
	case api.PromoteDatasource, api.RestoreDatasource:
		a.readOnly = false
	case api.FollowDatasource:
		a.readOnly, a.source = true, bodyOf[api.FollowDatasourceRequest](a.f.t, g).Primary.Address
	}
	state.ReadOnly, state.Prepared, state.Alive, state.Dead = a.readOnly, a.prepared, !a.dead, a.dead
	state.Alarm = a.alarm()
	state.Receiving, state.Received, state.Applied = a.receiving, a.received, a.applied
	return state, nil
}

func (a *actor) isReadOnly() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.readOnly
}

// allGiven waits until an order that goes to several has come in everywhere: one
// that is cancelled on its way may come in late, and is refused for its stamp.
func (f *fleet) allGiven(order string) {
	f.t.Helper()
	receivers := 1
	switch order {
	case api.ProxyVoteFetch, api.StopWritingProxyDatasource, api.SwitchProxyDatasource, api.RecoverWritingProxyDatasource, api.RollbackProxyDatasource, api.FollowDatasource:
		receivers = 2
	}
	eventually(f.t, order+" has come in everywhere", func() bool { return len(f.tape.of(order)) >= receivers })
}

// startSwitch asks for a switch as an operator and returns its id.
func (f *fleet) startSwitch(to int) string {
	f.t.Helper()
	var started api.SwitchStarted
	f.must(api.SwitchStart, api.SwitchStartRequest{HostGroup: "orders", ToIndex: to, Reason: "maintenance"}, &started)
	return started.ID
}

// ended waits until a switch is over and returns its record.
func (f *fleet) ended(id string) api.Switch {
	f.t.Helper()
	eventually(f.t, "switch "+id+" is over", func() bool {
		s := f.state().Switch(id)
		return s != nil && !s.IsOpen()
	})
	return f.show(id)
}

func (f *fleet) show(id string) api.Switch {
	f.t.Helper()
	var s api.Switch
	f.must(api.SwitchShow, api.SwitchRef{ID: id}, &s)
	return s
}

// group is the host group orders as the operator sees it.
func (f *fleet) group() api.Group {
	f.t.Helper()
	var answer api.GroupListAnswer
	f.must(api.GroupList, api.GroupListRequest{Name: "orders"}, &answer)
	return answer.Groups[0]
}

// states are the states that a switch went through.
func states(s api.Switch) []string {
	var list []string
	for _, step := range s.Steps {
		list = append(list, step.State)
	}
	return list
}

// wantStates fails unless the switch went through exactly these states.
func wantStates(t *testing.T, s api.Switch, want ...string) {
	t.Helper()
	if got := states(s); !slices.Equal(got, want) {
		t.Errorf("the switch went through %v, want %v (code %d, %s)", got, want, s.Code, s.Error)
	}
}

// The ways of a switch.
var (
	wayDone = []string{
		fsm.StateRequested, fsm.StatePreflight, fsm.StateVoting, fsm.StateStopping, fsm.StateFencing, fsm.StateCatchingUp,
		fsm.StatePromoting, fsm.StateSwitching, fsm.StateRecovering, fsm.StateRepointing, fsm.StateDone,
	}
	wayBack = []string{fsm.StateRollingBack, fsm.StateRolledBack}
)

// undoneFrom is the way of a switch that was rolled back from a state before
// the commit.
func undoneFrom(state string) []string {
	way := slices.Clone(wayDone[:slices.Index(wayDone, state)+1])
	if slices.Index(wayDone, state) < slices.Index(wayDone, fsm.StateStopping) {
		return append(way, fsm.StateRolledBack)
	}
	return append(way, wayBack...)
}

// cooldown ends the cooldown of the last switch.
func (f *fleet) cooldown() { f.clock.advance(time.Minute) }

// alarm is what an agent whose server does not receive says of it: with a primary
// that is gone every replica's does. The lock is held.
func (a *actor) alarm() string {
	if a.receiving {
		return ""
	}
	return "this server does not receive from its source: connection refused"
}
