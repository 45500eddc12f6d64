package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

func (r *rig) question(name string, body, answer any) error {
	r.t.Helper()
	data, err := json.Marshal(body)
	ok(r.t, err)
	resp, err := r.Handler()(r.call, &wire.Request{Name: name, Body: data})
	if err == nil {
		ok(r.t, json.Unmarshal(resp.Data, answer))
	}
	return err
}

func TestQuestions(t *testing.T) {
	state := replica()
	state.BinlogFile, state.GTIDBinlogPos = "bin.000001", "0-1-5"
	state.Replication.SQLErrno, state.Replication.SQLError = 1062, "duplicate"
	state.SemiSync = mysql.SemiSync{ReplicaEnabled: true, ReplicaActive: true}
	r := newLeased(t, state)
	var load api.Load
	ok(t, r.question(api.LoadFetch, api.LoadFetchRequest{}, &load))
	if load.Load1 != 0.5 || load.Cores != 2 || load.Connections != 3 {
		t.Errorf("%+v", load)
	}
	var binlog api.Binlog
	ok(t, r.question(api.BinlogFetch, api.BinlogFetchRequest{Role: api.BinlogSlave}, &binlog))
	if binlog.File != "bin.000001" || binlog.Position != 42 {
		t.Errorf("%+v", binlog)
	}
	var whole api.AgentState
	ok(t, r.question(api.StateFetch, api.StateFetchRequest{}, &whole))
	if whole.Source != primary || whole.IORunning != "Yes" || !strings.Contains(whole.Error, "1062") || whole.SemiSync != "replica, acknowledging" || whole.Address != own {
		t.Errorf("%+v", whole)
	}
	var preflight api.PreflightAnswer
	ask := api.PreflightDatasourceRequest{HostGroup: "orders", Role: api.BinlogMaster, Peers: map[string]string{own: "7", other: "8"}, CandidateState: "0-1-4", MaxLagMS: 1 << 60}
	ok(t, r.question(api.PreflightDatasource, ask, &preflight))
	if len(preflight.Checks) != 3 || !preflight.Checks[0].OK || !preflight.Checks[1].OK || !preflight.Checks[2].OK || preflight.State.Binlog.GTIDBinlogPos != "0-1-5" {
		t.Errorf("%+v", preflight)
	}
	for candidate, part := range map[string]string{"0-9-9": "save them and clone it", "x": "not a MariaDB GTID list"} {
		ask.CandidateState = candidate
		ok(t, r.question(api.PreflightDatasource, ask, &preflight))
		if c := preflight.Checks[2]; c.OK || !strings.Contains(c.Detail, part) {
			t.Errorf("candidate with %s: %+v", candidate, c)
		}
	}
	for what, name := range map[string]string{"Load": api.LoadFetch, "Binlog slave": api.BinlogFetch, "Preflight": api.PreflightDatasource, "State": api.StateFetch} {
		r.db.fail[what] = mysql.ErrUnreachable
		body := any(ask)
		if name == api.BinlogFetch {
			body = api.BinlogFetchRequest{Role: api.BinlogSlave}
		}
		refused(t, r.question(name, body, new(json.RawMessage)), api.MySQLUnreachable)
		delete(r.db.fail, what)
	}
}

func TestSemiSyncInWords(t *testing.T) {
	for want, s := range map[string]mysql.SemiSync{
		"off": {}, "source, 2 replicas acknowledge": {SourceEnabled: true, SourceActive: true, Clients: 2},
		"source, waiting for no acknowledgement": {SourceEnabled: true}, "replica, not acknowledging": {ReplicaEnabled: true},
	} {
		if got := semiSync(s); got != want {
			t.Errorf("%+v is %q, want %q", s, got, want)
		}
	}
}

func TestMilliseconds(t *testing.T) {
	for ms, want := range map[int64]time.Duration{-1 << 62: time.Millisecond, 0: time.Millisecond, 1500: 1500 * time.Millisecond, 1 << 62: maxBound} {
		if got := milliseconds(ms); got != want {
			t.Errorf("%d: %v, want %v", ms, got, want)
		}
	}
}

// TestEveryErrorHasACode holds the table total over the sentinels of package
// mysql, by its source.
func TestEveryErrorHasACode(t *testing.T) {
	known := map[string]bool{}
	for _, e := range databaseErrors {
		known[e.err.Error()] = true
	}
	files, err := filepath.Glob("mysql/*.go")
	ok(t, err)
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		ok(t, err)
		tree, err := parser.ParseFile(token.NewFileSet(), file, source, 0)
		ok(t, err)
		ast.Inspect(tree, func(n ast.Node) bool {
			v, isSpec := n.(*ast.ValueSpec)
			if !isSpec || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, "Err") {
				return true
			}
			if call, isCall := v.Values[0].(*ast.CallExpr); isCall && len(call.Args) == 1 {
				if text, isText := call.Args[0].(*ast.BasicLit); isText {
					found++
					if !known[strings.Trim(text.Value, "`\"")] {
						t.Errorf("mysql.%s has no code", v.Names[0].Name)
					}
				}
			}
			return true
		})
	}
	if found < 20 {
		t.Errorf("only %d sentinels were found: where are they?", found)
	}
}

func TestDatabaseError(t *testing.T) {
	for _, test := range []struct {
		err  error
		code api.Code
	}{
		{nil, api.OK},
		{errors.New("anything"), api.MySQLQuery},
		{fmt.Errorf("x: %w", mysql.ErrPositionTimeout), api.PositionTimeout},
		{&mysql.ErrantError{}, api.BinlogInconsistent},
		{fmt.Errorf("x: %w: %w", mysql.ErrUnknown, context.DeadlineExceeded), api.OutcomeUnknown},
		{fmt.Errorf("x: %w: %w", mysql.ErrFenceTimeout, context.DeadlineExceeded), api.FenceTimeout},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), api.Deadline},
		{fmt.Errorf("%w: %w", errGaveWay, mysql.ErrUnknown), api.Busy},
		{&mysql.ReplicationError{Thread: "io", Errno: 2003}, api.NotReady},
		{api.Errorf(api.BadRequest, "x"), api.BadRequest},
	} {
		err := databaseError(test.err)
		if code, _ := api.CodeOf(err); code != test.code {
			t.Errorf("%v: code %d, want %d", test.err, code, test.code)
		}
		if test.err != nil && !strings.Contains(err.Error(), test.err.Error()) {
			t.Errorf("%v became %v", test.err, err)
		}
	}
}

// FuzzOrders gives an agent whatever a keeper could send. It must not panic, and
// must answer every refusal with a code that says something.
func FuzzOrders(f *testing.F) {
	for _, seed := range []struct {
		name  string
		body  any
		stamp api.Stamp
	}{
		{api.LoadFetch, api.LoadFetchRequest{}, api.Stamp{}},
		{api.BinlogFetch, api.BinlogFetchRequest{Role: api.BinlogMaster}, api.Stamp{}},
		{api.StateFetch, api.StateFetchRequest{}, api.Stamp{}},
		{api.PreflightDatasource, api.PreflightDatasourceRequest{Role: api.BinlogSlave, Peers: map[string]string{own: "7"}, CandidateState: "0-1-5"}, api.Stamp{}},
		{api.PrepareDatasource, api.PrepareDatasourceRequest{HostGroup: "orders", Candidate: me()}, stamp(2, api.StepStopping)},
		{api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: "orders", Primary: me(), BoundMS: 5}, stamp(2, api.StepFencing)},
		{api.WaitPosition, api.WaitPositionRequest{HostGroup: "orders", Candidate: me(), GTID: "0-1-5", State: "0-1-5", TimeoutMS: 5}, stamp(2, api.StepCatchingUp)},
		{api.PromoteDatasource, api.PromoteDatasourceRequest{HostGroup: "orders", Primary: me()}, stamp(2, api.StepPromoting)},
		{api.FollowDatasource, api.FollowDatasourceRequest{HostGroup: "orders", Replica: me(), Primary: api.Datasource{Address: other}}, stamp(2, api.StepIdle)},
		{api.StopReceivingDatasource, api.StopReceivingDatasourceRequest{HostGroup: "orders", Primary: api.Datasource{Address: primary}}, stamp(2, api.StepFencing)},
		{api.DrainDatasource, api.DrainDatasourceRequest{HostGroup: "orders", Candidate: me(), TimeoutMS: 5}, stamp(2, api.StepCatchingUp)},
		{api.ResumeDatasource, api.ResumeDatasourceRequest{HostGroup: "orders", Primary: api.Datasource{Address: primary}}, stamp(2, api.StepRollingBack)},
		{api.RestoreDatasource, api.RestoreDatasourceRequest{HostGroup: "orders", Primary: me()}, stamp(2, api.StepRollingBack)},
	} {
		body, err := json.Marshal(seed.body)
		ok(f, err)
		f.Add(seed.name, seed.stamp.String(), body)
	}
	f.Add(api.FenceDatasource, "1.2.9", []byte(`{"hostGroup":"","primary":{"address":1},"boundMs":-1}`))
	f.Add("Nope", "", []byte(`[`))
	a, err := Open(config(f.TempDir(), &database{state: replica(), fail: map[string]error{}, hang: map[string]bool{}, gone: make(chan struct{})}))
	ok(f, err)
	a.secure()
	f.Cleanup(func() { ok(f, a.Close()) })
	keeper := asRole(f, api.RoleKeeper)
	f.Fuzz(func(t *testing.T, name, stamp string, body []byte) {
		a.lease.grant(lease.Now(), lease.For(lease.Longest), api.Stamp{}) // so that nothing waits for one
		_, err := a.Handler()(keeper, &wire.Request{Name: name, Meta: wire.Meta{{Key: api.MetaStamp, Value: stamp}}, Body: body})
		if code, msg := api.CodeOf(err); code == api.Common {
			t.Errorf("%s was refused without a code: %s", name, msg)
		}
	})
}
