package cluster

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
)

// tour is one run of the leader's duties.
type tour struct {
	node *Node
	term uint64
}

// Lead runs on whoever leads, in its term, with a context that ends with it,
// and never twice at once on a node.
func TestLead(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	ctx, stop := context.WithCancel(t.Context())
	began := make(chan tour, 64)
	var wg sync.WaitGroup
	for _, n := range nodes {
		var running atomic.Int32
		wg.Go(func() {
			_ = n.Lead(ctx, func(ctx context.Context, term uint64) error {
				if running.Add(1) != 1 {
					t.Error("the duties run twice on one node")
				}
				defer running.Add(-1)
				if now, leading := n.leads(); leading && now == term && !n.tenures.barrierDone(term) {
					t.Error("the duties began before the state was complete")
				}
				began <- tour{n, term}
				<-ctx.Done()
				return ctx.Err()
			})
		})
	}
	next := func() tour {
		t.Helper()
		select {
		case got := <-began:
			return got
		case <-time.After(15 * time.Second):
			t.Fatal("no duties began")
			return tour{}
		}
	}
	first := next()
	f.eventually("a transfer", func() bool { return f.leader(nodes...).TransferLeadership(t.Context(), "") == nil })
	second := next()
	if second.term <= first.term {
		t.Errorf("duties in term %d after term %d", second.term, first.term)
	}
	// What the first decided cannot be written any more.
	if _, err := first.node.ProposeInTerm(t.Context(), first.term, fsm.Header{}, &fsm.PutSection{ID: "x"}); err == nil {
		t.Error("the duties of an older term wrote")
	}
	stop()
	wg.Wait()
}

// Duties that fail give leadership away; alone they are run again.
func TestLeadFails(t *testing.T) {
	t.Run("gives away", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		nodes := f.group(3)
		leader := f.leader(nodes...)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = leader.Lead(ctx, func(context.Context, uint64) error { return errors.New("no") })
		})
		f.eventually("another leads", func() bool { return f.leader(nodes...) != leader })
		stop()
		wg.Wait()
	})
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		n := f.mustOpen(f.config("k1", 1))
		f.ready(n)
		ctx, stop := context.WithCancel(t.Context())
		var runs atomic.Int32
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = n.Lead(ctx, func(context.Context, uint64) error {
				if runs.Add(1) < 2 {
					return errors.New("no")
				}
				return nil
			})
		})
		f.eventually("they are run again", func() bool { return runs.Load() == 2 })
		stop()
		wg.Wait()
	})
	t.Run("ends with the node", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		n := f.mustOpen(f.config("k1", 1))
		done := make(chan error, 1)
		go func() {
			done <- n.Lead(t.Context(), func(ctx context.Context, _ uint64) error { <-ctx.Done(); return nil })
		}()
		f.ready(n)
		f.close(n)
		select {
		case err := <-done:
			if err == nil {
				t.Error("Lead returned nil")
			}
		case <-time.After(10 * time.Second):
			t.Error("Lead goes on after the node")
		}
	})
}

// A follower that hears nothing looks as soon as Heartbeat is over, each in its
// place.
func TestPrompt(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	rest := others(nodes, leader)
	if leader.IsLeader() {
		a, b := rest[0].place(), rest[1].place()
		if a+b != 1 || (rest[0].ID() < rest[1].ID()) != (a < b) {
			t.Errorf("the places of two followers are %d and %d", a, b)
		}
	}
	f.crash(leader)
	f.eventually("a follower was prompted", func() bool {
		for _, n := range rest {
			if n.raft.ReloadableConfig().HeartbeatTimeout == testTiming.Heartbeat-promptStep {
				return true
			}
		}
		return false
	})
	f.leader(rest...)
	if strings.Contains(f.log.String(), "cannot prompt") {
		t.Error("raft refused the prompt")
	}
}

// A transfer that is queued when raft stops is never answered by raft v1.7.3; Close
// does not wait for it, and no goroutine is left over.
func TestTransferQueuedAtStop(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.mustOpen(f.config("k1", 1))
	f.ready(n)
	if err := n.raft.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	var queued raft.Future
	f.eventually("a transfer is queued", func() bool {
		queued = n.raft.LeadershipTransferToServer("x", "y")
		return reflect.TypeOf(queued).Kind() == reflect.Pointer // else refused at once
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := n.transferred(ctx, queued); err == nil && n.IsLeader() {
		t.Error("transferred by a raft that stopped")
	}
	start := time.Now()
	f.crash(n)
	if took := time.Since(start); took > closeTimeout/2 {
		t.Errorf("it took %v to stop", took)
	}
}
