package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// A read sees what any client was told is written before it, whoever reads.
func TestLinearizableSeesPriorWrites(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	for i := range 30 {
		value := strconv.Itoa(i)
		f.mustPut("a", value)
		if i%10 == 5 { // another leader, and at once a read
			_ = f.leader(nodes...).TransferLeadership(t.Context(), "")
		}
		state, err := f.read(nodes)
		if err != nil {
			t.Fatal(err)
		}
		if got := get(state, "a"); got != value {
			t.Fatalf("read %q after %q was written", got, value)
		}
	}
}

// read reads from the first node that answers.
func (f *fleet) read(nodes []*Node) (*fsm.State, error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 10*time.Second)
	defer cancel()
	for {
		for _, n := range nodes {
			if state, err := n.Linearizable(ctx); err == nil {
				return state, nil
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		pause(ctx, 5*time.Millisecond)
	}
}

func TestReadersShareProofs(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	n := f.leader(nodes...)
	before := metric(t, n, "zero_cluster_proofs_total")
	const readers, each = 64, 20
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for range each {
				if _, err := n.Linearizable(t.Context()); err != nil && !errors.Is(err, api.ErrNotLeader) && !errors.Is(err, api.ErrNoLeader) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	proofs := metric(t, n, "zero_cluster_proofs_total") - before
	if proofs > readers*each/4 {
		t.Errorf("%v proofs for %d reads", proofs, readers*each)
	}
	t.Logf("%v proofs for %d reads by %d readers", proofs, readers*each, readers)
}

// Who comes while a proof is under way is not served by it.
func TestProofBeginsAfterTheQuestion(t *testing.T) {
	p := newProver()
	first := p.join()
	if p.join() != first {
		t.Error("two that wait do not share a round")
	}
	begun := p.begin()
	if begun != first {
		t.Error("the round that begins is not the one they wait for")
	}
	if p.join() == begun {
		t.Error("a question is answered by a proof that began before it")
	}
}

// scrape is what a monitor reads of a node's metrics.
func scrape(t *testing.T, n *Node) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(n.cfg.Registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// metric reads one number as a scrape shows it.
func metric(t *testing.T, n *Node, name string) float64 {
	t.Helper()
	for line := range strings.Lines(scrape(t, n)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no metric %s in:\n%s", name, scrape(t, n))
	return 0
}

func TestFollowerPointsToTheLeader(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	follower := others(nodes, leader)[0]
	_, readErr := follower.Linearizable(t.Context())
	_, writeErr := put(t.Context(), follower, "a", "1")
	for _, err := range []error{readErr, writeErr, follower.HandleJoin(t.Context(), follower.joinRequest())} {
		e, ok := errors.AsType[*api.Error](err)
		if !ok || e.Code != api.NotLeader {
			t.Fatalf("a follower answers %v", err)
		}
		var hint api.LeaderHint
		if err := json.Unmarshal([]byte(e.Data), &hint); err != nil || hint.Address == "" || hint.ID == "" || hint.Term == 0 {
			t.Errorf("hint %q: %v", e.Data, err)
		}
	}
}

func TestStale(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	f.mustPut("a", "1")
	follower := others(nodes, leader)[0]
	f.eventually("the follower has it", func() bool {
		state, age, err := follower.Stale(t.Context(), time.Minute)
		return err == nil && age < time.Minute && get(state, "a") == "1"
	})
	if _, age, err := leader.Stale(t.Context(), time.Nanosecond); err != nil || age != 0 {
		t.Errorf("a leader with an old proof makes a new one: age %v, %v", age, err)
	}
	if _, _, err := follower.Stale(t.Context(), time.Nanosecond); !errors.Is(err, api.ErrNotReady) {
		t.Errorf("a follower that is too old answers %v", err)
	}
	for _, n := range nodes {
		if _, _, err := n.Stale(t.Context(), 0); !errors.Is(err, api.ErrBadRequest) {
			t.Errorf("a maximum age of 0: %v", err)
		}
	}
	for _, n := range others(nodes, follower) {
		f.crash(n)
	}
	f.eventually("age rises without a leader", func() bool {
		_, age, err := follower.Stale(t.Context(), 50*time.Millisecond)
		return errors.Is(err, api.ErrNotReady) && age > 50*time.Millisecond
	})
	if _, _, err := follower.Stale(t.Context(), time.Hour); err != nil {
		t.Errorf("an old read that is wanted: %v", err)
	}
}

// Without a quorum a read fails in time, and never falls back to the local state.
func TestNoQuorumNoRead(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup = func(_ string, c *Config) { c.ApplyTimeout = 100 * time.Millisecond }
	nodes := f.group(3)
	leader := f.leader(nodes...)
	for _, n := range others(nodes, leader) {
		f.crash(n)
	}
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 80*time.Millisecond)
		state, err := leader.Linearizable(ctx)
		cancel()
		if err == nil || state != nil {
			t.Fatalf("read %v without a quorum", state)
		}
		if code, _ := api.CodeOf(err); code != api.Deadline && code != api.NotReady && code != api.NoLeader && code != api.NotLeader {
			t.Errorf("read without a quorum: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := leader.Linearizable(ctx); err == nil {
		t.Error("a cancelled read was served")
	}
}

func TestWaitIndexAndChanged(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	follower := others(nodes, leader)[0]
	changed := follower.Changed()
	r := f.mustPut("a", "1")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := follower.WaitIndex(ctx, r.Index); err != nil || get(follower.State(), "a") != "1" {
		t.Errorf("after waiting for entry %d: %q, %v", r.Index, get(follower.State(), "a"), err)
	}
	select {
	case <-changed:
	case <-ctx.Done():
		t.Error("the change was not told")
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := follower.WaitIndex(short, r.Index+1000); !errors.Is(err, api.ErrDeadline) {
		t.Errorf("waiting for what never comes: %v", err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- follower.WaitIndex(t.Context(), r.Index+1000) }()
	f.crash(follower)
	if err := <-waiting; !errors.Is(err, api.ErrNotReady) {
		t.Errorf("waiting when the node stops: %v", err)
	}
}

func TestSnapshotOfTheState(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.mustOpen(f.config("k1", 1))
	f.ready(n)
	f.mustPut("a", "1")
	var out strings.Builder
	state, err := n.Snapshot(t.Context(), &out)
	if err != nil {
		t.Fatal(err)
	}
	read, err := fsm.ReadSnapshot(strings.NewReader(out.String()))
	if err != nil || read.Hash() != state.Hash() || get(read, "a") != "1" {
		t.Errorf("the snapshot reads as %v, %v", read, err)
	}
	if _, err := n.Snapshot(t.Context(), brokenWriter{}); err == nil {
		t.Error("a snapshot into a broken pipe succeeded")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, fmt.Errorf("broken pipe") }
