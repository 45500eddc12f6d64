package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"
)

// rig applies commands with rising indexes, as raft would.
type rig struct {
	t     testing.TB
	log   [][]byte
	m     *Machine
	index uint64
	term  uint64
	now   int64
}

func newRig(t testing.TB) *rig {
	return &rig{t: t, m: New(), term: 3, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano()}
}

// entry applies an encoded entry at the next index.
func (r *rig) entry(entry []byte) Result {
	r.t.Helper()
	r.index++
	r.log = append(r.log, entry)
	result, err := r.m.Apply(r.index, r.term, entry)
	if err != nil {
		r.t.Fatalf("entry %d: %v", r.index, err)
	}
	return result
}

func (r *rig) with(h Header, c Command) Result {
	r.t.Helper()
	if h.Time == 0 {
		h.Time = r.now
	}
	entry, err := Encode(h, c)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.entry(entry)
}

// do applies c in the current term and wants that code.
func (r *rig) do(code uint16, c Command) Result {
	r.t.Helper()
	result := r.with(Header{Term: r.term}, c)
	if result.Code != code {
		r.t.Fatalf("%T: code %d (%s), want %d", c, result.Code, result.Msg, code)
	}
	return result
}

func group(name string, addresses ...string) GroupSpec {
	return GroupSpec{Name: name, Datasources: addresses, Settings: Settings{EnableSwitch: true, VoteRatio: 50, Cooldown: int64(10 * time.Second)}}
}

func (r *rig) publish(code uint16, groups ...GroupSpec) {
	r.t.Helper()
	previous, next := "", "1.0.0"
	if live := r.m.State().LiveConfig("c"); live != nil {
		previous, next = live.ConfigID, fmt.Sprintf("%d.0.0", live.Number+1)
	}
	r.do(code, &PublishConfig{Cluster: "c", ConfigID: next, Previous: previous, Content: []byte(next), Groups: groups})
}

// story is a run through every command.
func story(t testing.TB) *rig {
	r := newRig(t)
	r.do(0, &InitCluster{ClusterID: "cluster-1"})
	r.do(0, &RegisterMember{ID: "m1", Name: "k1", Address: "127.0.0.1:7001"})
	r.do(0, &RegisterMember{ID: "m2", Name: "k2", Address: "127.0.0.1:7002"})
	r.do(0, &RemoveMember{ID: "m2"})
	r.publish(0, group("g1", "a:1", "b:1"), group("g2", "c:1"))
	r.do(0, &RegisterProxy{Cluster: "c", ID: "p1", Address: "p:1", Incarnation: "i"})
	r.do(0, &RegisterProxy{Cluster: "c", ID: "p2", Address: "p:2", Incarnation: "i"})
	r.do(0, &SetProxyStatus{Cluster: "c", ID: "p1", From: StatusReady, To: StatusUp})
	r.do(0, &AckConfig{Cluster: "c", ID: "p1", Incarnation: "i", ConfigID: "1.0.0"})
	r.do(0, &RemoveProxy{Cluster: "c", ID: "p2", From: StatusReady})
	r.do(0, &RegisterAgent{Address: "a:1", ID: "a1", ServerID: "srv-a", Incarnation: "i"})
	r.do(0, &RegisterAgent{Address: "b:1", ID: "a2", ServerID: "srv-b", Incarnation: "i"})
	r.do(0, &SetAgentStatus{Address: "b:1", Incarnation: "i", Status: StatusLost})
	r.do(0, &PutSection{ID: "host-1", Section: "status", Data: []byte("hello")})
	r.with(Header{Session: "s1", Seq: 1}, &PutSection{ID: "", Section: "", Data: nil})
	r.do(0, &RequestSwitch{Group: "g1", From: 0, To: 1, Kind: KindPlanned, Reason: "test", RequestedBy: "me", ByOperator: true})
	r.advance(0, StateRequested, StatePreflight)
	r.advance(0, StatePreflight, StateVoting)
	r.do(0, &CastVote{Generation: 1, Vote: Vote{Switch: "g1-1", Proxy: "p1", Vote: true, LastSuccess: r.now}})
	r.do(0, &AbortSwitch{ID: "g1-1", Reason: "changed my mind"})
	r.advance(0, StateVoting, StateRolledBack)
	r.do(0, &ExpireSessions{Sessions: []SessionUse{{"s1", r.now - 1}}})
	r.do(0, &SetMaintenance{Group: "g1", On: true, By: "me", Reason: "disks", For: int64(time.Hour)})
	r.do(0, &SetBrake{On: true, By: "me", Reason: "storm"})
	r.do(0, &AckSwitch{ID: "g1-1", By: "me", Reason: "seen"})
	r.do(0, &RecordHook{ID: "g1-1", Generation: 1, Result: HookResult{Hook: "pager", Event: "switch/before", OK: true}, Closed: true})
	r.do(0, &RaiseClusterEpoch{Epoch: 2})
	r.do(0, &PutSection{ID: "host-1", Section: "status", Data: []byte("again"), Compare: true, Version: 1})
	r.do(0, &FreezeGroup{Group: "g1", Epoch: 2, Generation: 4, Step: StepIdle, By: "agent b:1"})
	r.do(0, &ThawGroup{Group: "g1", FrozenAt: r.m.State().Group("g1").FrozenAt, Primary: "b:1", Committed: 4, Generation: 4, By: "the keepers", Reason: "all agents agree"})
	r.do(0, &MarkState{})
	hash := r.m.State().Hash()
	r.do(0, &CompareState{Index: r.index, Hash: hash[:], Agreed: 2, Asked: 3})
	available := group("g1", "a:1", "b:1")
	available.Settings.Policy = PolicyAvailable
	r.publish(0, available, group("g2", "c:1"))
	r.members("g1")
	r.degrade(0, "g1", SemiSyncOff)
	return r
}

func (r *rig) advance(code uint16, from, to string) Result {
	r.t.Helper()
	var open *Switch
	for _, s := range r.m.State().Switches() {
		if open == nil || s.Number > open.Number {
			open = s
		}
	}
	return r.do(code, &AdvanceSwitch{ID: open.ID, Generation: open.Generation, From: from, To: to, Note: "n"})
}

// TestSameCommandsSameState applies every command to two machines, one of them
// replaced by its own snapshot after each.
func TestSameCommandsSameState(t *testing.T) {
	seen := map[Type]bool{}
	a, b := New(), New()
	for i, entry := range story(t).log {
		_, c, err := Decode(entry)
		if err != nil {
			t.Fatal(err)
		}
		seen[c.commandType()] = true
		ra, err := a.Apply(uint64(i+1), 3, entry)
		if err != nil {
			t.Fatal(err)
		}
		rb, err := b.Apply(uint64(i+1), 3, entry)
		if err != nil {
			t.Fatal(err)
		}
		if ra.Code != rb.Code || ra.Msg != rb.Msg || !bytes.Equal(ra.Data, rb.Data) {
			t.Fatalf("entry %d: %+v and %+v", i, ra, rb)
		}
		if a.State().Hash() != b.State().Hash() {
			t.Fatalf("entry %d (%T): the states differ", i, c)
		}
		var snapshot bytes.Buffer
		if _, err := b.State().WriteTo(&snapshot); err != nil {
			t.Fatal(err)
		}
		b = New()
		if err := b.Restore(&snapshot); err != nil {
			t.Fatal(err)
		}
		if a.State().Hash() != b.State().Hash() {
			t.Fatalf("entry %d (%T): the restored state differs", i, c)
		}
	}
	for kind := range commands {
		if !seen[kind] {
			t.Errorf("the story has no command of type %d: add one", kind)
		}
	}
}

func TestApplyHaltsOnWhatItCannotKnow(t *testing.T) {
	good, err := Encode(Header{}, &PutSection{ID: "i", Data: []byte("d")})
	if err != nil {
		t.Fatal(err)
	}
	resum := func(change func(e []byte)) []byte {
		e := bytes.Clone(good)
		change(e)
		sum := entrySum(e)
		e[5], e[6], e[7], e[8] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
		return e
	}
	for _, test := range []struct {
		name  string
		entry []byte
		want  error
	}{
		{"empty", nil, ErrCorrupt},
		{"cut", good[:len(good)-1], ErrCorrupt},
		{"format", resum(func(e []byte) { e[0] = 2 }), ErrUnknownCommand},
		{"type", resum(func(e []byte) { e[1] = 0xee }), ErrUnknownCommand},
		{"version", resum(func(e []byte) { e[3] = 2 }), ErrUnknownCommand},
		{"flags", resum(func(e []byte) { e[4] = 0x80 }), ErrUnknownCommand},
		{"header of more fields", resum(func(e []byte) { e[entryHeaderSize] = 6 }), ErrUnknownCommand},
	} {
		m := New()
		before := m.State().Hash()
		if _, err := m.Apply(1, 1, test.entry); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if m.State().Hash() != before {
			t.Errorf("%s: the state changed", test.name)
		}
	}
	m := New()
	if _, err := m.Apply(1, 1, resum(func(e []byte) { e[1], e[4] = 0xee, FlagIgnorable })); err != nil || m.State().Index() != 1 {
		t.Errorf("an unknown type that may be ignored: %v at %d", err, m.State().Index())
	}
	if _, err := m.Apply(1, 1, good); err == nil {
		t.Error("an entry was applied twice")
	}
}

func TestEveryFlippedBitIsCaught(t *testing.T) {
	good, err := Encode(Header{Time: 5, Session: "s", Seq: 1}, &PutSection{ID: "host", Section: "x", Data: []byte("data")})
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(good) * 8 {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := New().Apply(1, 1, bad); err == nil {
			t.Errorf("bit %d was flipped and nobody noticed", i)
		}
	}
}

func TestTermOfTheDecidingLeader(t *testing.T) {
	r := newRig(t)
	r.publish(0, group("g1", "a:1", "b:1"))
	r.do(0, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned})
	old := Header{Term: r.term}
	r.term++ // another election
	got := r.with(old, &AdvanceSwitch{ID: "g1-1", Generation: 1, From: StateRequested, To: StatePreflight})
	if got.Code != CodeStaleGeneration {
		t.Errorf("a decision of an older term: code %d", got.Code)
	}
	if got := r.with(Header{}, &AdvanceSwitch{ID: "g1-1", Generation: 1, From: StateRequested, To: StatePreflight}); got.Code != CodeBadRequest {
		t.Errorf("a transition without a term: code %d", got.Code)
	}
}

func TestRefusedCommandChangesNothing(t *testing.T) {
	r := newRig(t)
	r.publish(0, group("g1", "a:1", "b:1"))
	hash := func() any {
		s := *r.m.State()
		s.index = 0
		return s.Hash()
	}
	before := hash()
	r.publish(CodeConfigCheck, group("new", "x:1"), group("g1", "b:1")) // removes the writable
	if hash() != before {
		t.Error("a refused configuration left its first group behind")
	}
	if r.m.State().Group("new") != nil {
		t.Error("group new exists")
	}
}

func FuzzApply(f *testing.F) {
	for _, entry := range story(f).log {
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		m := New()
		before := m.State().Hash()
		if _, err := m.Apply(1, 1, entry); err != nil && m.State().Hash() != before {
			t.Error("a halting entry changed the state")
		}
		// The checksum keeps most inputs out: let the decoders see them as well.
		if len(entry) > entryHeaderSize {
			sum := entrySum(entry)
			entry = bytes.Clone(entry)
			entry[5], entry[6], entry[7], entry[8] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
			_, _ = New().Apply(1, 1, entry)
		}
	})
}
