package mysql

import (
	"testing"

	"github.com/zerokeeper/zero/proxy/gate"
)

// TestReadOfASeveredPrimaryIsRepeated: a read that waits for a primary whose host is gone is sent to the next one. In
// a switch that severs nothing it stays where it is.
func TestReadOfASeveredPrimaryIsRepeated(t *testing.T) {
	over := make(chan struct{})
	mute := (&fakeServer{answer: func(int, []byte) ([]byte, bool) {
		<-over
		return appendPacket(nil, 1, appendOK(nil, statusAutocommit)), false
	}}).start(t)
	t.Cleanup(func() { close(over) })
	f := (&fakeServer{}).start(t)
	p := newProxy(t, mute.addr)
	c := raw(t, p.addr, rawCaps)
	c.send(comQuery, []byte("SELECT 1")...)
	eventually(t, "the read is under way", func() bool { return mute.seen() == "1:SELECT 1" })

	p.gate.Hold()
	p.leaveSevered()
	if st := p.Stats(); st.Retries != 0 || st.Backends != 1 {
		t.Errorf("a switch that severs nothing: %+v", st)
	}
	old, _, _ := p.gate.Current()
	b := &backend{primary: old}
	if b.severed(p.gate) {
		t.Error("nothing was severed")
	}
	p.gate.Sever()
	if _, b.opened = p.gate.Severed(); b.severed(p.gate) {
		t.Error("what was opened since is not severed")
	}
	p.open(t, f.addr)
	if r := c.result(); r.err != nil {
		t.Error(r.err)
	}
	if got := f.seen(); got != "1:SELECT 1" {
		t.Errorf("the next primary saw %q", got)
	}
	if given, at := p.gate.Severed(); at == 0 || !given.Same(old) {
		t.Errorf("severed: %+v", given)
	}
}

// TestHeldSessionKeepsItsConnection when a failover severs what is in flight, and is rolled back.
func TestHeldSessionKeepsItsConnection(t *testing.T) {
	f := (&fakeServer{}).start(t)
	p := newProxy(t, f.addr)
	c := raw(t, p.addr, rawCaps)
	c.must("SELECT 1")
	primary, _, _ := p.gate.Current()
	p.gate.Hold()
	c.send(comQuery, []byte("DELETE FROM t")...)
	eventually(t, "held", func() bool { n, _ := p.gate.Held(); return n == 1 })
	p.gate.Sever()
	p.leaveSevered()
	if err := p.gate.Open(primary, forever); err != nil {
		t.Fatal(err)
	}
	if r := c.result(); r.err != nil {
		t.Error(r.err)
	}
	if got := f.seen(); got != "1:SELECT 1 1:DELETE FROM t" {
		t.Errorf("it went on another connection: %q", got)
	}
	if given, at := p.gate.Severed(); at != 0 {
		t.Errorf("%+v admits again, and counts as severed", given)
	}
}

// TestSeveredIsAboutOneReign: the same server, promoted again, is another primary.
func TestSeveredIsAboutOneReign(t *testing.T) {
	p := newProxy(t, "")
	if p.gate.Sever(); (&backend{}).severed(p.gate) {
		t.Error("a gate without a primary severs")
	}
	p.open(t, "a:1")
	again, _, _ := p.gate.Current()
	p.gate.Hold()
	p.gate.Sever()
	again.Generation++
	if (&backend{primary: again}).severed(p.gate) {
		t.Error("a later reign is severed")
	}
	if err := p.gate.SetPrimary(gate.Primary{Address: "b:1", Generation: 9}); err != nil {
		t.Fatal(err)
	}
	again.Generation--
	if !(&backend{primary: again}).severed(p.gate) {
		t.Error("the severed reign is not, with another primary")
	}
}
