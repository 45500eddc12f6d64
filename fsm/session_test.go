package fsm

import (
	"bytes"
	"testing"
)

func TestRetryHappensOnce(t *testing.T) {
	r := newRig(t)
	r.publish(0, group("g1", "a:1", "b:1"))
	h := Header{Session: "client", Seq: 1}
	first := r.with(h, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned})
	if first.Code != 0 || string(first.Data) != "g1-1" {
		t.Fatalf("%+v", first)
	}
	again := r.with(h, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned})
	if again.Code != 0 || again.Index != first.Index || !bytes.Equal(again.Data, first.Data) {
		t.Errorf("the retry got %+v, the first %+v", again, first)
	}
	// Also from a snapshot.
	var snapshot bytes.Buffer
	if _, err := r.m.State().WriteTo(&snapshot); err != nil {
		t.Fatal(err)
	}
	if err := r.m.Restore(&snapshot); err != nil {
		t.Fatal(err)
	}
	if again := r.with(h, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned}); !bytes.Equal(again.Data, first.Data) {
		t.Errorf("after a restore the retry got %+v", again)
	}
	if n := len(r.m.State().Switches()); n != 1 {
		t.Errorf("%d switches", n)
	}
	// A refusal is an answer too.
	h.Seq = 2
	refused := r.with(h, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned})
	r.advance(0, StateRequested, StateRolledBack)
	if again := r.with(h, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned}); refused.Code != CodeSwitchInProgress || again.Code != refused.Code {
		t.Errorf("refused with %d, the retry with %d", refused.Code, again.Code)
	}
}

func TestSessionBounds(t *testing.T) {
	r := newRig(t)
	put := func(seq, acked uint64) uint16 {
		return r.with(Header{Session: "c", Seq: seq, Acked: acked}, &PutSection{ID: "x"}).Code
	}
	for seq := uint64(1); seq <= MaxReplies; seq++ {
		if code := put(seq, 0); code != 0 {
			t.Fatalf("sequence %d: code %d", seq, code)
		}
	}
	if code := put(MaxReplies+1, 0); code != CodeRateLimited {
		t.Errorf("one too many unacknowledged: code %d", code)
	}
	if code := put(MaxReplies+1, MaxReplies); code != 0 {
		t.Errorf("after an acknowledgement: code %d", code)
	}
	if got := len(r.m.State().Session("c").Replies); got != 1 {
		t.Errorf("%d replies kept, want 1", got)
	}
	if code := put(5, 0); code != CodeSessionGone {
		t.Errorf("an acknowledged sequence: code %d", code)
	}
	if code := r.with(Header{Session: "c", Seq: 0}, &PutSection{}).Code; code != CodeBadRequest {
		t.Errorf("sequence 0: code %d", code)
	}
	if code := r.with(Header{Session: "unknown", Seq: 9, Acked: 8}, &PutSection{}).Code; code != CodeSessionGone {
		t.Errorf("an expired session: code %d", code)
	}
}

func TestSessionsExpireUnlessUsedSince(t *testing.T) {
	r := newRig(t)
	r.with(Header{Session: "idle", Seq: 1}, &PutSection{})
	r.with(Header{Session: "busy", Seq: 1}, &PutSection{})
	seen := r.now
	r.now++
	r.with(Header{Session: "busy", Seq: 2}, &PutSection{})
	r.do(0, &ExpireSessions{Sessions: []SessionUse{{"idle", seen}, {"busy", seen}, {"never", seen}}})
	if s := r.m.State(); s.Session("idle") != nil || s.Session("busy") == nil || s.meta().Sessions != 1 {
		t.Errorf("idle %v, busy %v, count %d", s.Session("idle"), s.Session("busy"), s.meta().Sessions)
	}
}
