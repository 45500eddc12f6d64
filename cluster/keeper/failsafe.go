package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// failsafe is what agents and proxies of a group are told about failsafe: whether
// it is used, and where the group's agents listen, so that they find each other
// when no keeper is in reach.
func failsafe(state *fsm.State, g *fsm.HostGroup) (on bool, peers []api.Peer) {
	if !g.Settings.Failsafe {
		return false, nil
	}
	for _, address := range g.Datasources {
		if a := state.Agent(address); a != nil && a.Listen != "" {
			peers = append(peers, api.Peer{Address: address, Listen: a.Listen})
		}
	}
	return true, peers
}

// promiseWait is how much longer a candidate may take to be prepared because of a
// failsafe promise that it gave (R13). It does not hang on the group's settings: an
// agent that hears no keeper goes on with those of before, and an agent that was
// wiped waits as well.
func (d *driver) promiseWait(*fsm.Switch) time.Duration { return d.times.Promise }

// patient bounds the time of one candidate of several: one that does not answer soon
// cannot be chosen, but one that answers that it has promised is given more.
func (d *driver) patient(ctx context.Context, s *fsm.Switch) (_ context.Context, more, stop func()) {
	if !s.Any {
		return ctx, func() {}, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(d.waits.grace, cancel)
	return ctx, func() { timer.Reset(d.waits.grace + d.times.Promise) }, func() { timer.Stop(); cancel() }
}

// outlivePromise waits as long as a candidate says that its promise lives (R13);
// whoever retries asks again then. Bounded by the longest promise there is.
func (d *driver) outlivePromise(ctx context.Context, address string, err error, more func()) error {
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Code != api.PromiseAlive {
		return err
	}
	var data api.PromiseAliveData
	if json.Unmarshal([]byte(e.Data), &data) != nil || data.WaitMS <= 0 {
		return err
	}
	more()
	wait := min(time.Duration(min(data.WaitMS, d.times.Promise.Milliseconds()))*time.Millisecond, d.times.Promise)
	d.log.Info("a candidate waits for the end of its failsafe promise", "switch", d.id, "datasource", address, "wait", wait)
	pause(ctx, wait)
	return err
}
