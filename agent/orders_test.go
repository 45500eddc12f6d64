package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/durable"
	"github.com/zerokeeper/zero/transport/wire"
)

// TestCandidate is the way of a planned switch through the candidate's agent.
func TestCandidate(t *testing.T) {
	r := newLeased(t, replica())
	prepared, err := r.prepare(2)
	ok(t, err)
	if prepared.Prepared != 2 || prepared.Incarnation == "" || prepared.ServerID != "7" || prepared.Role != "replica" || prepared.Source != primary || prepared.Stamp != stamp(2, api.StepStopping) {
		t.Errorf("prepared: %+v", prepared)
	}
	asked := r.db.called("State")
	reached, err := r.waitPosition(2, "0-1-5")
	ok(t, err)
	if reached.Incarnation != prepared.Incarnation || reached.Binlog == nil || reached.Binlog.Position != 42 || reached.ServerID != "7" {
		t.Errorf("reached: %+v", reached)
	}
	r.ahead.Wait() // it stops to receive while the commit is written
	promoted, err := r.promote(2)
	ok(t, err)
	if promoted.ReadOnly || promoted.Role != "primary" || promoted.Source != "" || promoted.Version == "" {
		t.Errorf("promoted: %+v", promoted)
	}
	if n := r.db.called("State") - asked; n != 0 {
		t.Errorf("clients waited for %d looks at the server that nobody needs", n)
	}
	_, err = r.promote(2) // asked again, answered again
	ok(t, err)
	r.did("WaitPosition", "Binlog slave", "StandBy", "Promote", "Promote")
	r.ahead.Wait()
	if r.db.rotated != 1 {
		t.Errorf("a candidate looked %d times whether its binary log is long, want once", r.db.rotated)
	}
	for name, give := range map[string]func() (api.AgentState, error){
		"Prepare": func() (api.AgentState, error) { return r.prepare(2) },
		"Fence":   func() (api.AgentState, error) { return r.fence(2) },
		"Wait":    func() (api.AgentState, error) { return r.waitPosition(2, "") },
		"Promote": func() (api.AgentState, error) { return r.promote(1) },
		"Restore": func() (api.AgentState, error) { return r.restore(1) },
	} {
		if _, err := give(); !errors.Is(err, api.ErrStaleGeneration) {
			t.Errorf("%s, late: %v", name, err)
		}
	}
}

// TestOldPrimary is that of the old primary's, there and back.
func TestOldPrimary(t *testing.T) {
	state := writable()
	state.GTIDSlavePos = "0-9-3" // what it got when it was cloned
	r := newLeased(t, state)
	fenced, err := r.fence(2)
	ok(t, err)
	if !fenced.ReadOnly || fenced.Binlog == nil || fenced.Binlog.GTIDBinlogPos != "0-1-5" || fenced.Binlog.GTIDBinlogState != "0-1-5,0-9-3" {
		t.Errorf("fenced: %+v, %+v", fenced, fenced.Binlog)
	}
	if n := r.db.called("State"); n != 1 { // who it is; never seen before
		t.Errorf("the server was asked %d times", n)
	}
	restored, err := r.restore(2)
	ok(t, err)
	if restored.ReadOnly || restored.Role != "primary" {
		t.Errorf("restored: %+v", restored)
	}
	_, err = r.fence(3)
	ok(t, err)
	followed, err := r.follow(stamp(3, api.StepPromoting), other)
	ok(t, err)
	if !followed.ReadOnly || followed.Role != "replica" || followed.Source != other {
		t.Errorf("followed: %+v", followed)
	}
	_, err = r.follow(stamp(3, api.StepIdle), other)
	ok(t, err)
	_, err = r.give(stamp(4, api.StepRollingBack), api.RestoreDatasource, api.RestoreDatasourceRequest{HostGroup: "orders", Primary: me()})
	refused(t, err, api.StillReplica)
	r.did("Fence", "Promote", "Fence", "Follow", "Follow")
	if m := r.remembered(); m.Role != roleNotPrimary || m.Committed != 3 {
		t.Errorf("%+v", m)
	}
}

// TestOvertaken: a look at the server that began before an order does not hide
// what that did.
func TestOvertaken(t *testing.T) {
	r := newLeased(t, writable())
	_, err := r.ask(t.Context())
	ok(t, err)
	slow := make(chan struct{})
	r.db.set(func() { r.db.slow = slow })
	looked := make(chan error, 1)
	go func() { _, err := r.ask(context.Background()); looked <- err }()
	eventually(t, "it looks", func() bool { return r.db.called("State") == 2 })
	_, err = r.fence(2)
	ok(t, err)
	close(slow)
	ok(t, <-looked)
	if v := r.View(); !v.ReadOnly {
		t.Errorf("the heartbeat would say that a fenced server is writable: %+v", v)
	}
}

func TestOrdersAreRefused(t *testing.T) {
	r := newLeased(t, replica())
	_, err := r.prepare(2)
	ok(t, err)
	before := r.remembered()
	stranger, elsewhere := me(), me()
	stranger.ServerID, elsewhere.Address = "8", other
	fence := func(d api.Datasource) api.FenceDatasourceRequest {
		return api.FenceDatasourceRequest{HostGroup: "orders", Primary: d, BoundMS: 1}
	}
	for _, test := range []struct {
		name string
		step uint8
		gen  uint64
		req  string
		body any
		code api.Code
	}{
		{"another server_id", api.StepFencing, 3, api.FenceDatasource, fence(stranger), api.IdentityMismatch},
		{"another address", api.StepFencing, 3, api.FenceDatasource, fence(elsewhere), api.IdentityMismatch},
		{"another host group", api.StepFencing, 3, api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: "users", Primary: me(), BoundMS: 1}, api.IdentityMismatch},
		{"a lower generation", api.StepIdle, 1, api.FollowDatasource, api.FollowDatasourceRequest{HostGroup: "orders", Replica: me(), Primary: api.Datasource{Address: other}}, api.StaleGeneration},
		{"promotion before the commit", api.StepCatchingUp, 2, api.PromoteDatasource, api.PromoteDatasourceRequest{HostGroup: "orders", Primary: me()}, api.BadRequest},
		{"promotion of one that was not prepared", api.StepPromoting, 3, api.PromoteDatasource, api.PromoteDatasourceRequest{HostGroup: "orders", Primary: me()}, api.NotPrepared},
		{"wait of one that was not prepared", api.StepCatchingUp, 3, api.WaitPosition, api.WaitPositionRequest{HostGroup: "orders", Candidate: me(), TimeoutMS: 1}, api.NotPrepared},
		{"restoring after the commit", api.StepIdle, 3, api.RestoreDatasource, api.RestoreDatasourceRequest{HostGroup: "orders", Primary: me()}, api.BadRequest},
		{"following before the commit", api.StepFencing, 3, api.FollowDatasource, api.FollowDatasourceRequest{HostGroup: "orders", Replica: me(), Primary: api.Datasource{Address: other}}, api.BadRequest},
		{"following what is no address", api.StepIdle, 3, api.FollowDatasource, api.FollowDatasourceRequest{HostGroup: "orders", Replica: me(), Primary: api.Datasource{Address: "db2"}}, api.BadRequest},
		{"following a port that is none", api.StepIdle, 3, api.FollowDatasource, api.FollowDatasourceRequest{HostGroup: "orders", Replica: me(), Primary: api.Datasource{Address: "db2:0"}}, api.BadRequest},
		{"fencing in another step", api.StepStopping, 3, api.FenceDatasource, fence(me()), api.BadRequest},
		{"preparing in another step", api.StepIdle, 3, api.PrepareDatasource, api.PrepareDatasourceRequest{HostGroup: "orders", Candidate: me()}, api.BadRequest},
	} {
		if _, err := r.give(stamp(test.gen, test.step), test.req, test.body); err == nil {
			t.Errorf("%s: obeyed", test.name)
		} else if code, _ := api.CodeOf(err); code != test.code {
			t.Errorf("%s: %v, want code %d", test.name, err, test.code)
		}
	}
	if m := r.remembered(); m != before {
		t.Errorf("a refused order changed the memory: %+v, was %+v", m, before)
	}
	r.did()
	for _, req := range []wire.Request{
		{Name: api.PromoteDatasource, Body: []byte(`{"hostGroup":"orders","primary":{"address":"` + own + `"}}`)},
		{Name: api.FenceDatasource, Body: []byte(`{"hostGroup":"orders"}`)},
		{Name: api.BinlogFetch, Body: []byte(`{"role":"boss"}`)},
		{Name: api.PreflightDatasource, Body: []byte(`{"role":"boss","primary":{}}`)},
		{Name: api.PreflightDatasource, Body: []byte(`{"role":"slave","primary":{},"peers":{"a:1":"x"}}`)},
	} {
		_, err := r.Handler()(r.call, &req)
		if code, _ := api.CodeOf(err); code != api.BadRequest {
			t.Errorf("%s %s: %v", req.Name, req.Body, err)
		}
	}
	_, err = r.Handler()(asRole(t, api.RoleProxy), &wire.Request{Name: api.LoadFetch})
	refused(t, err, api.Forbidden)
}

// TestDiskBeforeTheServer: what cannot be remembered is not done.
func TestDiskBeforeTheServer(t *testing.T) {
	for _, test := range []struct {
		name  string
		state mysql.State
		give  func(*rig) (api.AgentState, error)
	}{
		{"prepare", replica(), func(r *rig) (api.AgentState, error) { return r.prepare(3) }},
		{"fence", writable(), func(r *rig) (api.AgentState, error) { return r.fence(3) }},
		{"promote", replica(), func(r *rig) (api.AgentState, error) { return r.promote(2) }},
		{"follow", replica(), func(r *rig) (api.AgentState, error) { return r.follow(stamp(3, api.StepIdle), other) }},
		{"restore", writable(), func(r *rig) (api.AgentState, error) { return r.restore(3) }},
		{"a grant", writable(), func(r *rig) (api.AgentState, error) {
			return api.AgentState{}, r.hear(grant(stamp(3, api.StepIdle), 3, other, true))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newLeased(t, replica())
			_, err := r.prepare(2)
			ok(t, err)
			r.db.set(func() { r.db.state = test.state })
			mend := r.broken()
			before := r.remembered()
			if _, err := test.give(r); err == nil || !strings.Contains(err.Error(), "remember") {
				t.Errorf("done without memory: %v", err)
			}
			if m := r.remembered(); m != before {
				t.Errorf("promised %+v, remembered %+v", m, before)
			}
			r.did()
			mend()
			if _, err := test.give(r); err != nil {
				t.Errorf("once it can be remembered: %v", err)
			}
			after := r.remembered()
			r = r.restart()
			if m := r.remembered(); m != after {
				t.Errorf("the next process remembers %+v, want %+v", m, after)
			}
			if test.name != "promote" && test.name != "prepare" {
				_, err = r.promote(2)
				refused(t, err, api.StaleGeneration)
			}
		})
	}
}

// TestRestartedCandidate: the keeper sees by the incarnation that the agent was
// restarted; what it was prepared for is remembered.
func TestRestartedCandidate(t *testing.T) {
	r := newLeased(t, replica())
	first, err := r.prepare(2)
	ok(t, err)
	r = r.restart()
	second, err := r.waitPosition(2, "0-1-5")
	ok(t, err)
	if first.Incarnation == second.Incarnation || second.Prepared != 2 {
		t.Errorf("%+v after %+v", second, first)
	}
}

func TestPositionsAreCompared(t *testing.T) {
	for _, test := range []struct {
		name, mine, cloned, theirs string
		code                       api.Code
	}{
		{"the same", "0-1-5", "", "0-1-5", api.OK},
		{"not compared", "0-1-5", "", "", api.OK},
		{"got by cloning", "", "0-1-5", "0-1-5", api.OK},
		{"lacks some", "0-1-4", "", "0-1-5", api.BinlogInconsistent},
		{"lacks a domain", "0-1-5", "", "0-1-5,1-1-1", api.BinlogInconsistent},
		{"has more", "0-1-5,0-7-6", "", "0-1-5", api.BinlogInconsistent},
		{"not understood", "0-1-5", "", "x", api.DataRead},
		{"its own not understood", "x", "", "0-1-5", api.DataRead},
	} {
		state := replica()
		state.GTIDBinlogState, state.GTIDSlavePos = test.mine, test.cloned
		r := newLeased(t, state)
		_, err := r.prepare(2)
		ok(t, err)
		_, err = r.waitPosition(2, test.theirs)
		if code, _ := api.CodeOf(err); code != test.code {
			t.Errorf("%s: %v, want code %d", test.name, err, test.code)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	r := newLeased(t, replica())
	_, err := r.prepare(2)
	ok(t, err)
	if _, err := Open(config(r.dir, r.db)); !errors.Is(err, durable.ErrInUse) {
		t.Errorf("a second agent on the directory: %v", err)
	}
	ok(t, r.Close())
	path := filepath.Join(r.dir, "agent.json")
	for content, want := range map[string]error{"{": durable.ErrDamaged, `{"address":"127.0.0.1:9"}`: ErrForeign} {
		ok(t, os.WriteFile(path, []byte(content), 0o600))
		if _, err := Open(config(r.dir, r.db)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", content, err, want)
		}
	}
	for name, change := range map[string]func(*Config){
		"no id": func(c *Config) { c.ID = "" }, "no directory": func(c *Config) { c.DataDir = "" }, "no database": func(c *Config) { c.Database = nil },
		"a negative time": func(c *Config) { c.RoleTimeout = -1 }, "a file": func(c *Config) { c.DataDir = path },
	} {
		cfg := config(t.TempDir(), r.db)
		change(&cfg)
		if a, err := Open(cfg); err == nil {
			t.Errorf("%s: it was opened", name)
			ok(t, a.Close())
		}
	}
}
