package keeper

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// rows is a store that notes how the entries of switches are proposed. Once it is held,
// an entry that is only a proof is not committed before it is released.
type rows struct {
	Store
	held     atomic.Bool
	waits    atomic.Int64 // proofs that wait
	released chan struct{}
	commits  atomic.Int64 // rows with more than one entry that lead to the commit
}

func (r *rows) Linearizable(ctx context.Context) (*fsm.State, error) {
	if r.held.Load() {
		r.waits.Add(1)
		select {
		case <-r.released:
		case <-ctx.Done():
		}
	}
	return r.Store.Linearizable(ctx)
}

func (r *rows) ProposeRowInTerm(ctx context.Context, term uint64, row ...fsm.Command) ([]fsm.Result, error) {
	if c, ok := row[len(row)-1].(*fsm.AdvanceSwitch); ok && len(row) == 2 && c.To == fsm.StatePromoting {
		r.commits.Add(1)
	}
	return r.Store.ProposeRowInTerm(ctx, term, row...)
}

// R1: the commit's entry proves leadership for a heartbeat that came in before it was
// proposed. So the candidate has its lease with the commit; and the commit goes into
// the log together with the fence.
func TestCommitBringsTheLease(t *testing.T) {
	var store *rows
	f := world(t, 1, plainDocument, tuning{config: func(c *Config) { store = &rows{Store: c.Store, released: make(chan struct{})}; c.Store = store }, waits: func(w *waits) { w.ahead = time.Minute }})
	k := f.leader().keeper.Load()
	candidate := f.agents[1]
	type brought struct {
		answer api.HeartbeatAnswer
		err    error
	}
	came := make(chan brought, 1)
	candidate.on(api.WaitPosition, func(ctx context.Context, g given) (any, error) {
		store.held.Store(true)
		go func() { _, _ = f.proxies[0].tryBeat() }() // its own proof does not end: the next one waits
		for store.waits.Load() == 0 && ctx.Err() == nil {
			pause(ctx, time.Millisecond/4)
		}
		go func() {
			answer, err := candidate.tryBeat()
			came <- brought{answer, err}
		}()
		for !k.proofs.wanted() && ctx.Err() == nil {
			pause(ctx, time.Millisecond/4)
		}
		return candidate.usual(ctx, g)
	})
	candidate.on(api.PromoteDatasource, func(ctx context.Context, g given) (any, error) {
		defer close(store.released)
		defer store.held.Store(false)
		select {
		case b := <-came:
			if b.err != nil {
				t.Errorf("the heartbeat: %v", b.err)
			} else if grant := only(t, b.answer); grant.Primary.Address != db1 || !grant.Open || grant.Stamp.Step != api.StepPromoting || b.answer.LeaseMS == 0 {
				t.Errorf("the heartbeat of before the commit is answered %+v", b.answer)
			}
		case <-time.After(10 * time.Second):
			t.Error("the heartbeat waits for a proof of its own")
		}
		return candidate.usual(ctx, g)
	})
	s := f.ended(f.startSwitch(1))
	wantStates(t, s, wayDone...)
	if store.commits.Load() != 1 {
		t.Errorf("%d commits went into the log together with the fence", store.commits.Load())
	}
}

// An entry that was not committed proves nothing (R1), to those who waited for it; the
// next one may.
func TestFailedEntryProvesNothing(t *testing.T) {
	p := newProofs()
	p.begins()
	got := make(chan error, 1)
	go func() { got <- p.await(t.Context(), false) }()
	eventually(t, "one waits", p.wanted)
	mine := p.byEntry()
	if p.wanted() {
		t.Error("who waits for an entry waits for the next proof as well")
	}
	if p.byEntry() != nil {
		t.Error("nobody waits, and there is a proof to bring")
	}
	mine.proven(api.ErrOutcomeUnknown)
	eventually(t, "it waits again", p.wanted)
	select {
	case err := <-got:
		t.Fatalf("answered by an entry that failed: %v", err)
	default:
	}
	p.byEntry().proven(nil)
	if err := <-got; err != nil {
		t.Error(err)
	}
	p.ends()
	if err := p.await(t.Context(), false); !errors.Is(err, api.ErrNoLeader) {
		t.Errorf("after the term: %v", err)
	}
	if p.byEntry() != nil {
		t.Error("a term that is over proves something")
	}
}
