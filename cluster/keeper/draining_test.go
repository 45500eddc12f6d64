package keeper

import (
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// TestDrainingIsCounted (R2, R4): while a planned switch waits for a proxy, it has a
// lease for what is in flight, which the keepers wait for as for any other.
func TestDrainingIsCounted(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, tuning{})
	p2 := f.proxies[1]
	entered, release := p2.block(api.StopWritingProxyDatasource)
	id := f.startSwitch(1)
	<-entered
	answer := p2.beat()
	if g := only(t, answer); g.Open || !g.Drain || answer.LeaseMS == 0 || g.Stamp.Step != api.StepStopping {
		t.Errorf("while it drains it is told %+v", answer)
	}
	k := f.leader().keeper.Load()
	k.leases.mu.Lock()
	last, counted := k.leases.last[granted{proxyHolder("shop", "p2"), "orders"}]
	k.leases.mu.Unlock()
	if !counted || last < k.leases.since {
		t.Error("the lease for what is in flight is not on record")
	}
	fenced, goOn := f.agents[0].block(api.FenceDatasource)
	release()
	<-fenced
	if g := only(t, p2.beat()); g.Open || g.Drain {
		t.Errorf("when nothing is in flight any more it is told %+v", g)
	}
	goOn()
	wantStates(t, f.ended(id), wayDone...)
}

// TestDraining: only in stopping, and only of a planned switch.
func TestDraining(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, tuning{})
	state := f.state()
	g := *state.Group("orders")
	for _, step := range []uint8{fsm.StepRequested, fsm.StepStopping, fsm.StepFencing, fsm.StepCatchingUp, fsm.StepPromoting, fsm.StepRollingBack, fsm.StepIdle} {
		if g.Step = step; draining(state, &g) {
			t.Errorf("without a switch, in step %d", step)
		}
	}
	entered, release := f.proxies[0].block(api.StopWritingProxyDatasource)
	id := f.failOver(1, "")
	select {
	case <-entered:
		if g := only(t, f.proxies[1].beat()); g.Drain {
			t.Error("in a failover, where nothing ends well")
		}
	case <-time.After(5 * time.Second):
		t.Error("no failover")
	}
	release()
	f.ended(id)
}
