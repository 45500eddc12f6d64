package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/load"
	"github.com/zerokeeper/zero/jepsen/stage"
)

// The shape of the chaos. ZERO_E2E_SEED and ZERO_E2E_ROUNDS change the first two.
const (
	chaosSeed   = 20240229
	chaosRounds = 3
	chaosWindow = 120 * time.Millisecond // from a switch's start: the kill falls in it
	chaosEnd    = 5 * time.Second        // within which the switch ends either way
)

// fromEnv is a number from the environment, or the preset.
func fromEnv(t *testing.T, name string, preset int) int {
	t.Helper()
	text, ok := os.LookupEnv(name)
	if !ok {
		return preset
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q: want a number above 0", name, text)
	}
	return n
}

// TestDisturbed plays on a smaller stage: what is killed here takes part of the
// service with it.
func TestDisturbed(t *testing.T) {
	ctx := limit(t, 2*time.Minute+time.Duration(fromEnv(t, "ZERO_E2E_ROUNDS", chaosRounds))*10*time.Second)
	s := newScene(t, ctx, stage.Config{Proxies: 1, Servers: 2})
	s.play(t, ctx, []act{
		{"keeper leader killed in a switch", s.leaderKilled},
		{"servers restarted", s.serversRestarted},
		{"replica made writable", s.replicaWritable},
		{"no keepers", s.withoutKeepers},
		{"stop", s.stopAll},
	})
}

// leaderKilled kills the leading keeper at random moments of a switch, under
// load. The switch ends either way, at no time are two servers writable, and
// nothing acknowledged is lost.
func (s *scene) leaderKilled(t *testing.T, ctx context.Context) {
	seed, rounds := fromEnv(t, "ZERO_E2E_SEED", chaosSeed), fromEnv(t, "ZERO_E2E_ROUNDS", chaosRounds)
	t.Logf("ZERO_E2E_SEED=%d ZERO_E2E_ROUNDS=%d", seed, rounds)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	db, err := s.Open(s.Proxies[0])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := load.Prepare(ctx, db); err != nil {
		t.Fatal(err)
	}
	work := load.Start(ctx, load.Config{DBs: []*sql.DB{db}, Connections: 6, Every: 20 * time.Millisecond, Timeout: 20 * time.Second})
	defer work.Stop()
	watch := s.watchWritable(t, ctx)
	for i := range rounds {
		// Early, in the middle, late, and random within that.
		slice := chaosWindow / chaosRounds
		s.killDuringSwitch(t, ctx, slice*time.Duration(i%chaosRounds)+time.Duration(random.Int64N(int64(slice))))
	}
	watch.end(t)
	work.Stop()
	failures := work.Failures(work.Span())
	for _, f := range failures[:min(len(failures), 5)] {
		t.Errorf("a client saw (%s), one of %d errors: %v", f.Kind, len(failures), f.Err)
	}
	if err := s.CaughtUp(ctx, s.group(t, ctx).Writable); err != nil {
		t.Fatal(err)
	}
	for _, server := range s.Servers {
		loss, err := work.Examine(ctx, server.DB(), stage.Database)
		if err != nil || len(loss.Lost)+len(loss.Doubled)+len(loss.Partial) > 0 {
			t.Errorf("%s: %v, lost %v, doubled %v, in part %v", server.Name(), err, loss.Lost, loss.Doubled, loss.Partial)
		}
	}
	writes, rows := work.Acknowledged()
	t.Logf("%d writes, %d rows; longest pause %v; %d looks at the servers", writes, rows, work.Gap(work.Span()).Round(time.Millisecond), watch.looks)
}

// killDuringSwitch is one round.
func (s *scene) killDuringSwitch(t *testing.T, ctx context.Context, after time.Duration) {
	t.Helper()
	leader, err := s.Fleet.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	to := 1 - s.group(t, ctx).Writable
	id := s.started(t, ctx, to)
	time.Sleep(after) // the random moment
	killed := time.Now()
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	record := s.reaches(t, ctx, chaosEnd, id, over)
	took, in := time.Since(killed), "after its end"
	for i, step := range record.Steps[1:] { // the next leader ends the step that the last one began
		if step.Term != record.Steps[i].Term {
			in = "in " + record.Steps[i].State
		}
	}
	t.Logf("%s killed %v after the start of %s, %s: it is %s %v later", leader.Name(), after.Round(time.Millisecond), id, in, record.State, took.Round(time.Millisecond))
	if g := s.group(t, ctx); record.State == "done" != (g.Writable == to) {
		t.Errorf("the switch to %d is %s, and the writable is %d", to, record.State, g.Writable)
	}
	if err := leader.Start(ctx); err != nil {
		t.Fatal(err)
	}
	s.healthy(t, ctx)
}

// watcher looks at the servers all the time.
type watcher struct {
	stop  context.CancelFunc
	wg    sync.WaitGroup
	looks int
	wrong []string
}

// watchWritable looks, until end, whether two servers are writable at once. It
// logs in as the application: administrators' sessions are in a fence's way.
func (s *scene) watchWritable(t *testing.T, ctx context.Context) *watcher {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	w := &watcher{stop: stop}
	t.Cleanup(stop)
	var servers []*sql.DB
	for _, server := range s.Servers {
		db, err := s.direct(server)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		servers = append(servers, db)
	}
	writable := func(i int) bool {
		var readOnly bool
		err := servers[i].QueryRowContext(ctx, "SELECT @@global.read_only").Scan(&readOnly)
		return err == nil && !readOnly
	}
	w.wg.Go(func() {
		for ctx.Err() == nil {
			var found []int
			for i := range servers {
				if writable(i) {
					found = append(found, i)
				}
			}
			// The first is looked at again: it may have changed before the second was.
			if len(found) > 1 && writable(found[0]) {
				w.wrong = append(w.wrong, fmt.Sprintf("%v at %s", found, time.Now().Format(time.RFC3339Nano)))
			}
			w.looks++
			time.Sleep(time.Millisecond)
		}
	})
	return w
}

func (w *watcher) end(t *testing.T) {
	t.Helper()
	w.stop()
	w.wg.Wait()
	if len(w.wrong) > 0 {
		t.Errorf("servers were writable at the same time: %v", w.wrong)
	}
	if w.looks < 100 {
		t.Errorf("only %d looks at the servers", w.looks)
	}
}
