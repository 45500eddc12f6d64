package agent

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

func TestTurn(t *testing.T) {
	var turn turn
	level, release, busy := turn.try(t.Context(), rankLevel)
	if busy != nil {
		t.Fatal("a free turn is busy")
	}
	if _, _, busy := turn.try(t.Context(), rankOrder); busy == nil || busy.rank != rankLevel {
		t.Errorf("a second turn at the same time; busy: %+v", busy)
	}
	taken := make(chan func(), 1)
	var following context.Context
	go func() {
		ctx, release, err := turn.take(context.Background(), rankFollow)
		if err != nil {
			t.Error(err)
		}
		following = ctx
		taken <- release
	}()
	<-level.Done() // the order interrupts the level
	if !errors.Is(context.Cause(level), errGaveWay) {
		t.Errorf("it ended with %v", context.Cause(level))
	}
	select {
	case <-taken:
		t.Fatal("two have the turn")
	default:
	}
	release()
	release = <-taken

	// One of the same rank waits, as long as it may.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := turn.take(ctx, rankFollow); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if following.Err() != nil {
		t.Error("it was interrupted by its equal")
	}
	release()
	order, release, err := turn.take(t.Context(), rankOrder)
	if err != nil || order.Err() != nil {
		t.Fatal(err, order.Err())
	}
	release()
	if order.Err() == nil {
		t.Error("the context outlives the turn")
	}
}

// TestFollowGivesWay: the order to follow is given again, the others are not
// kept waiting by it.
func TestFollowGivesWay(t *testing.T) {
	r := newLeased(t, fenced())
	r.db.hang["Follow"] = true
	following := make(chan error, 2)
	follow := func() { _, err := r.follow(stamp(2, api.StepIdle), primary); following <- err }
	go follow()
	eventually(t, "it is at it", func() bool { return r.db.called("Follow") == 1 })
	go follow() // waits for the first: two of them must not chase each other
	_, err := r.give(stamp(3, api.StepStopping), api.PrepareDatasource, api.PrepareDatasourceRequest{HostGroup: "orders", Candidate: me()})
	refused(t, err, api.NotReplica) // its turn came
	codes := map[api.Code]int{}
	for range 2 {
		code, _ := api.CodeOf(<-following)
		codes[code]++
	}
	if codes[api.Busy] != 1 || codes[api.StaleGeneration] != 1 {
		if codes[api.Busy] != 2 { // the second may have had its turn before the order, and gave way too
			t.Errorf("the two orders to follow ended with %v", codes)
		}
	}
}
