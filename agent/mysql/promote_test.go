package mysql

import (
	"context"
	"errors"
	"testing"
	"time"
)

// promote promotes a server and waits for what is left to be done after it.
func promote(t *testing.T, s *Server) Promoted {
	t.Helper()
	p := must[Promoted](t)(s.Promote(t.Context(), free{}))
	s.behind.Wait()
	return p
}

// TestPromoteForgetsAfterwards: clients wait until the server is writable, and not
// until its source is forgotten; whatever else changes the server comes after that.
func TestPromoteForgetsAfterwards(t *testing.T) {
	a, b, _ := servers(t)
	a.exec(t, "SET GLOBAL read_only=1")
	s := b.server(t)
	left := false
	p := must[Promoted](t)(s.Promote(t.Context(), permit{await: func() {
		left = must[State](t)(s.State(t.Context())).Replication != nil
	}}))
	if p.Already || b.value(t, "SELECT @@global.read_only") != "0" {
		t.Errorf("not writable: %+v", p)
	}
	if !left {
		t.Error("the source was forgotten before the server was writable: clients waited for it")
	}
	end, err := s.begin(t.Context(), "test") // its turn comes when all is done
	if err != nil {
		t.Fatal(err)
	}
	end()
	if st := must[State](t)(s.State(t.Context())); st.Replication != nil || st.ReadOnly {
		t.Errorf("%+v", st)
	}
}

// permit holds. It calls await when it is waited for.
type permit struct{ await func() }

func (p permit) Await(context.Context) error { p.await(); return nil }
func (permit) Holds() error                  { return nil }

// TestPromoteFinishesAnotherPromotion: a server that was made writable, and whose agent
// died before the source was forgotten, is promoted again by its level.
func TestPromoteFinishesAnotherPromotion(t *testing.T) {
	a, b, _ := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b)
	b.exec(t, "STOP SLAVE; SET GLOBAL read_only=0; INSERT INTO app.t(v) VALUES (2)")
	s := b.server(t)
	promote(t, s)
	if st := must[State](t)(s.State(t.Context())); st.Replication != nil || st.ReadOnly {
		t.Errorf("%+v", st)
	}
	if n := b.value(t, "SELECT COUNT(*) FROM app.t"); n != "2" {
		t.Errorf("%s rows", n)
	}
}

// TestStandBy: what Promote does first can be done ahead, and is undone by following the
// source on; nothing that was received gets lost by it.
func TestStandBy(t *testing.T) {
	a, b, _ := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b)
	s := b.server(t)
	for range 2 { // repeating it is fine
		if err := s.StandBy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if r := must[State](t)(s.State(t.Context())).Replication; r == nil || r.IORunning != "No" || r.SQLRunning != "No" {
		t.Errorf("%+v", r)
	}
	a.exec(t, "INSERT INTO app.t(v) VALUES (2)")
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	caughtUp(t, a, b)

	b.exec(t, "STOP SLAVE SQL_THREAD")
	a.exec(t, "INSERT INTO app.t(v) VALUES (3)")
	eventually(t, "it is received", func() bool { return must[State](t)(s.State(t.Context())).Replication.GtidIOPos == "0-1-3" })
	if err := s.StandBy(t.Context()); !errors.Is(err, ErrRelayNotDrained) {
		t.Errorf("with what is not applied: %v", err)
	}
	if rec := must[Received](t)(s.Drain(t.Context(), 3*time.Second)); rec.Applied != "0-1-3" || b.rows(t) != "3" {
		t.Errorf("%+v, %s rows", rec, b.rows(t))
	}
}

// TestFollowWaitsUntilReady: until the agent's memory is on the disk (R16, R20) a replica
// is stopped at most.
func TestFollowWaitsUntilReady(t *testing.T) {
	a, b, c := servers(t)
	s := c.server(t)
	source := b.source()
	broken := errors.New("the disk is full")
	source.Ready = func(context.Context) error { return broken }
	if _, err := s.Follow(t.Context(), source); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	st := must[State](t)(s.State(t.Context()))
	if st.Replication == nil || st.Replication.SourcePort != a.source().Port || st.SemiSync.SourceEnabled {
		t.Errorf("%+v", st)
	}
	asked := 0
	source.Ready = func(context.Context) error { asked++; return nil }
	must[Following](t)(s.Follow(t.Context(), source))
	if st := must[State](t)(s.State(t.Context())); asked == 0 || st.Replication == nil || st.Replication.SourcePort != source.Port {
		t.Errorf("asked %d times, %+v", asked, st)
	}
}
