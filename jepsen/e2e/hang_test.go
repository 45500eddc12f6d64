package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/api"
)

// TestHangs plays with parts that are there and do not answer, which is worse
// than parts that are gone.
func TestHangs(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	s := newScene(t, ctx, stage.Config{})
	s.play(t, ctx, []act{
		{"candidate's agent away", s.agentAway},
		{"candidate's agent restarted in a switch", s.agentRestarted},
		{"primary's agent hangs", s.agentHangs},
		{"proxy hangs", s.proxyHangs},
		{"keeper leader hangs in a switch", s.leaderHangs},
		{"replica dead in a switch", s.replicaDead},
		{"keepers back, the primary's agent last", s.keepersBack},
		{"stop", s.stopAll},
	})
}

// pause stops a process until resume, at the test's end at the latest.
func pause(t *testing.T, ctx context.Context, p *fleet.Proc) (resume func()) {
	t.Helper()
	if err := p.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	resumed := false
	resume = func() {
		if resumed {
			return
		}
		if resumed = true; p.Resume() != nil {
			t.Errorf("%s cannot be resumed", p.Name())
		}
	}
	t.Cleanup(resume)
	return resume
}

// agentAway: a switch to a server whose agent is not there is refused before
// anything is touched.
func (s *scene) agentAway(t *testing.T, ctx context.Context) {
	if err := s.Agents[2].Kill(); err != nil {
		t.Fatal(err)
	}
	id := s.started(t, ctx, 2)
	record := s.reaches(t, ctx, settled, id, over)
	if record.State != "rolled-back" || record.BlackoutMS != 0 || !strings.Contains(record.Error, "agent") {
		t.Errorf("the switch is %s after a blackout of %.0f ms: %s", record.State, record.BlackoutMS, record.Error)
	}
	for _, step := range record.Steps {
		if step.State == "stopping" {
			t.Error("writing was stopped for a switch that could not be")
		}
	}
	if err := s.Agents[2].Start(ctx); err != nil {
		t.Fatal(err)
	}
}

// agentRestarted: the candidate's agent has forgotten what it promised: the
// switch goes back, and nobody is the worse for it.
func (s *scene) agentRestarted(t *testing.T, ctx context.Context) {
	d := s.holdSwitch(t, ctx, "forgotten")
	agent := s.Agents[1]
	eventually(t, ctx, time.Second, "the candidate is prepared", func(context.Context) error {
		if !strings.Contains(agent.LogTail(5), "prepared") {
			return errors.New("not yet")
		}
		return nil
	})
	if err := agent.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(ctx); err != nil {
		t.Fatal(err)
	}
	d.commit(t, ctx)
	record := s.reaches(t, ctx, settled, d.id, over)
	if record.State != "rolled-back" || record.Code != api.NotPrepared {
		t.Errorf("the switch is %s with code %d: %s", record.State, record.Code, record.Error)
	}
	d.verify(t, ctx)
}

// agentHangs: the old primary cannot be fenced while its agent hangs. The switch
// waits until the agent's lease must be over, and goes on; when the agent wakes up
// it has no lease, and what comes late does not make its server writable.
func (s *scene) agentHangs(t *testing.T, ctx context.Context) {
	d := s.holdSwitch(t, ctx, "hanging agent")
	resume := pause(t, ctx, s.Agents[0].Proc)
	d.commit(t, ctx)
	begin := time.Now()
	record := s.reaches(t, ctx, settled, d.id, over)
	t.Logf("over after %v", time.Since(begin).Round(time.Millisecond))
	if record.State != "done" || record.Fenced != api.LeaseOut {
		t.Errorf("the switch is %s, the old primary %s, with code %d: %s", record.State, record.Fenced, record.Code, record.Error)
	}
	resume()
	s.readOnly(t, ctx, 0, "1")
	d.verifyAt(t, ctx, 1)
	s.switchTo(t, ctx, 0)
}

// proxyHangs: a proxy that does not stop writing makes the switch go back. When
// it wakes up it goes on as if nothing had been.
func (s *scene) proxyHangs(t *testing.T, ctx context.Context) {
	s.notes(t, ctx)
	p := s.Proxies[1]
	conn := s.client(t, ctx, p)
	do(t, ctx, conn, insert("hanging proxy"))
	id := s.started(t, ctx, 1) // its preflight sees a proxy that is connected
	resume := pause(t, ctx, p.Proc)
	record := s.reaches(t, ctx, settled, id, over)
	resume()
	t.Logf("the switch is %s: %s", record.State, record.Error)
	if record.State != "rolled-back" && record.State != "done" {
		t.Errorf("the switch is %s", record.State)
	}
	do(t, ctx, conn, insert("hanging proxy"))
	s.noted(t, ctx, "hanging proxy", 2)
	if record.State == "done" {
		s.switchTo(t, ctx, 0)
	}
}

// leaderHangs: the leader stands still in a switch until another has ended it,
// and must not go on with it then.
func (s *scene) leaderHangs(t *testing.T, ctx context.Context) {
	s.notes(t, ctx)
	watch := s.watchWritable(t, ctx)
	for _, after := range []time.Duration{25 * time.Millisecond, 55 * time.Millisecond} {
		from := s.group(t, ctx).Writable
		leader, err := s.Fleet.Leader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		id := s.started(t, ctx, 1-from)
		time.Sleep(after)
		resume := pause(t, ctx, leader.Proc)
		anotherLeads(t, ctx, s.Fleet, leader)
		record := s.reaches(t, ctx, settled, id, over)
		t.Logf("%s hung %v after the start of %s: it is %s", leader.Name(), after, id, record.State)
		resume()
		do(t, ctx, s.client(t, ctx, s.Proxies[0]), insert("hanging leader"))
		s.healthy(t, ctx)
		again, err := s.record(ctx, id)
		if err != nil || again.State != record.State || len(again.Steps) != len(record.Steps) {
			t.Errorf("the record of %s was %+v and is %+v, %v", id, record, again, err)
		}
		writable := from
		if record.State == "done" {
			writable = 1 - from
		}
		s.readOnly(t, ctx, writable, "0")
		s.readOnly(t, ctx, 1-writable, "1")
	}
	watch.end(t)
	s.noted(t, ctx, "hanging leader", 2)
	if s.group(t, ctx).Writable != 0 {
		s.switchTo(t, ctx, 0)
	}
}

// replicaDead: a server that has nothing to do with the switch is dead. Writes
// go on, the switch is done soon, and the server follows when it is back.
func (s *scene) replicaDead(t *testing.T, ctx context.Context) {
	s.notes(t, ctx)
	dead := s.Servers[2]
	conn := s.client(t, ctx, s.Proxies[0])
	if err := dead.Kill(); err != nil {
		t.Fatal(err)
	}
	do(t, ctx, conn, insert("replica dead"))
	begin := time.Now()
	id := s.started(t, ctx, 1)
	eventually(t, ctx, settled, "the new primary", func(ctx context.Context) error {
		record, err := s.record(ctx, id)
		if err == nil && record.State != "repointing" && record.Open {
			err = fmt.Errorf("it is in %s", record.State)
		}
		return err
	})
	do(t, ctx, conn, insert("replica dead"))
	t.Logf("written on the new primary %v after the request", time.Since(begin).Round(time.Millisecond))
	record := s.reaches(t, ctx, 70*time.Second, id, over)
	t.Logf("the switch is %s %v after the request", record.State, time.Since(begin).Round(time.Millisecond))
	if err := dead.Start(ctx); err != nil {
		t.Fatal(err)
	}
	s.healthy(t, ctx)
	s.noted(t, ctx, "replica dead", 2)
	s.switchTo(t, ctx, 0)
}
