package keeper

import (
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// TestRollbackDoesNotWaitForADeadPrimary: the primary dies under a planned switch
// that must be undone, because the named candidate lacks what another has. Writes are
// held, and no failover can begin, until that is over.
func TestRollbackDoesNotWaitForADeadPrimary(t *testing.T) {
	t.Parallel()
	const long = time.Minute
	f := world(t, 1, plainDocument, tuning{waits: func(w *waits) { brief(w); w.restore = long }})
	f.agents[0].on(api.FenceDatasource, says(api.AgentState{Dead: true}))
	f.agents[0].on(api.RestoreDatasource, silent)
	f.agents[2].set(func(a *actor) { a.received = "0-1-100" })
	begin := time.Now()
	err := f.ask(api.ClusterDatasourcesSwitch, api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", ToIndex: 1, Reason: "r"}, nil)
	wantCode(t, "the answer", err, api.MayLoseWrites)
	s := f.show("orders-1")
	wantStates(t, s, undoneFrom(fsm.StateCatchingUp)...)
	if took := time.Since(begin); s.Fenced != api.FencedDead || took > long/2 {
		t.Errorf("fenced: %q; it took %v", s.Fenced, took)
	}
}

// TestRollbackTakesDeadForAnAnswer: the primary was fenced alive and dies after that; its
// agent refuses to re-open it.
func TestRollbackTakesDeadForAnAnswer(t *testing.T) {
	t.Parallel()
	const long = time.Minute
	f := world(t, 1, plainDocument, tuning{waits: func(w *waits) { brief(w); w.restore = long }})
	f.agents[0].on(api.RestoreDatasource, refuses(api.ServerDead, "it is dead"))
	f.agents[1].on(api.WaitPosition, refuses(api.BinlogInconsistent, "it is errant"))
	begin := time.Now()
	err := f.ask(api.ClusterDatasourcesSwitch, api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", ToIndex: 1, Reason: "r"}, nil)
	if err == nil {
		t.Error("it was not rolled back")
	}
	if s := f.show("orders-1"); s.Fenced != api.FencedConfirmed {
		t.Errorf("fenced: %q", s.Fenced)
	}
	if took := time.Since(begin); took > 10*time.Second { // asking is given up after 15 s
		t.Errorf("it took %v", took)
	}
}
