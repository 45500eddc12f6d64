package mysql

import (
	"context"
	"testing"
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
