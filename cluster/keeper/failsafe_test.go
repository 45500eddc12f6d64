package keeper

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// promised answers that a promise is alive until that moment.
func promised(a *actor, until time.Time) answer {
	return func(ctx context.Context, g given) (any, error) {
		if left := time.Until(until); left > 0 {
			return nil, &api.Error{Code: api.PromiseAlive, Msg: "wait", Data: fmt.Sprintf(`{"waitMs":%d}`, left.Milliseconds()+1)}
		}
		return a.usual(ctx, g)
	}
}

// TestOutlivesAPromise (R13): a candidate that has promised is waited for, in a
// planned switch and in a failover, where the others are not.
func TestOutlivesAPromise(t *testing.T) {
	for name, start := range map[string]func(f *fleet) string{
		"planned": func(f *fleet) string { return f.startSwitch(1) },
		"failover": func(f *fleet) string {
			f.agents[0].set(func(a *actor) { a.dead = true })
			return f.failOver(api.AnyIndex, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := world(t, 1, autoDocument(""), short)
			until := time.Now().Add(1500 * time.Millisecond) // longer than the grace
			f.agents[1].on(api.PrepareDatasource, promised(f.agents[1], until))
			f.agents[2].on(api.PrepareDatasource, promised(f.agents[2], until))
			s := f.ended(start(f))
			wantStates(t, s, wayDone...)
			if stepTime(s, fsm.StateFencing).Before(until) {
				t.Errorf("fencing began %v before the end of the promise", until.Sub(stepTime(s, fsm.StateFencing)))
			}
			if n := len(f.tape.of(api.PrepareDatasource)); n > 8 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// TestPromiseThatDoesNotEnd: the wait is bounded, and then the switch is undone.
func TestPromiseThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, short)
	f.agents[1].on(api.PrepareDatasource, promised(f.agents[1], time.Now().Add(time.Hour)))
	s := f.ended(f.startSwitch(1))
	if wantStates(t, s, undoneFrom(fsm.StateStopping)...); s.Code != api.PromiseAlive {
		t.Errorf("undone with %d %s", s.Code, s.Error)
	}
}

// TestGrantsTellWhoListens, in a group with failsafe, and only there.
func TestGrantsTellWhoListens(t *testing.T) {
	f := world(t, 1, autoDocument("  failsafe: true\n"), tuning{})
	f.agents[1].set(func(a *actor) { a.listen = "10.0.0.2:7302" })
	f.agents[1].beat()
	want := []api.Peer{{Address: db1, Listen: "10.0.0.2:7302"}}
	for _, a := range []*actor{f.agents[0], f.agents[2], f.proxies[0]} {
		if g := only(t, a.beat()); !g.Failsafe || !slices.Equal(g.Peers, want) {
			t.Errorf("%s is told %v, %v", a.id, g.Failsafe, g.Peers)
		}
	}
	if g := f.group(); !g.Failsafe || g.Datasources[1].Listen != want[0].Listen {
		t.Errorf("group show: %+v", g)
	}
	f.must(api.ConfigPush, api.ConfigPushRequest{Content: autoDocument("")}, nil)
	if g := only(t, f.agents[0].beat()); g.Failsafe || g.Peers != nil {
		t.Errorf("without failsafe: %v, %v", g.Failsafe, g.Peers)
	}
}
