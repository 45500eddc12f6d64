package agent

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// ask is a request for a promise, as the primary's agent makes it.
func (r *rig) askPromise(from string, s api.Stamp) error {
	r.t.Helper()
	data, err := json.Marshal(api.PromiseFailsafeRequest{HostGroup: "orders", Primary: from, Stamp: s, Round: 1, LeaseMS: brief.Milliseconds()})
	ok(r.t, err)
	_, err = r.PeerHandler()(asPeer(r.t, api.RoleAgent, from), &wire.Request{Name: api.PromiseFailsafe, Body: data})
	return err
}

// newPromiser is the agent of a replica that has heard of its group.
func newPromiser(t *testing.T) *rig {
	r := newLeased(t, replica())
	ok(t, r.hear(groupGrant(stamp(2, api.StepIdle), primary, true, members...)))
	return r
}

// TestRefusesToPromise (R18c).
func TestRefusesToPromise(t *testing.T) {
	now := stamp(2, api.StepIdle)
	for _, test := range []struct {
		name   string
		before func(t *testing.T, r *rig)
		from   string
		stamp  api.Stamp
		code   api.Code
	}{
		{"nothing is against it", nil, primary, now, api.OK},
		{"the asker has seen more", nil, primary, stamp(2, api.StepIdle), api.OK},
		{"higher stamp than the asker's", nil, primary, stamp(1, api.StepIdle), api.StaleGeneration},
		{"higher step than the asker's", nil, primary, stamp(2, api.StepPromoting), api.StaleGeneration},
		{"higher stamp, heard and not remembered", func(_ *testing.T, r *rig) { r.failsafe.learn("orders", stamp(3, 0)) }, primary, now, api.StaleGeneration},
		{"prepared", func(t *testing.T, r *rig) { _, err := r.prepare(3); ok(t, err) }, primary, now, api.StaleGeneration},
		{"prepared, for the asker's generation", func(t *testing.T, r *rig) { _, err := r.prepare(3); ok(t, err) }, primary, stamp(3, api.StepStopping), api.NoPromise},
		{"prepared, and nothing heard of the end", func(t *testing.T, r *rig) {
			_, err := r.prepare(3)
			ok(t, err)
			m := r.remembered()
			m.Stamp.Step = api.StepPromoting
			ok(t, r.remember(m))
		}, primary, stamp(3, api.StepIdle), api.NoPromise},
		{"an open switch that it is not prepared for", func(t *testing.T, r *rig) {
			_ = r.hear(groupGrant(stamp(3, api.StepFencing), primary, false, members...))
		}, primary, stamp(3, api.StepFencing), api.NoPromise},
		{"primary itself", func(t *testing.T, r *rig) {
			m := r.remembered()
			m.Role = rolePrimary
			ok(t, r.remember(m))
		}, primary, now, api.NoPromise},
		{"failsafe is off here", func(t *testing.T, r *rig) { ok(t, r.hear(grant(now, 1, primary, true))) }, primary, now, api.Forbidden},
		{"not of the group", nil, "127.0.0.1:3399", now, api.Forbidden},
		{"itself", nil, own, now, api.Forbidden},
		{"the disk fails", func(_ *testing.T, r *rig) { r.promises.path = r.dir + "/no/such/directory" }, primary, now, api.Common},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newPromiser(t)
			if test.before != nil {
				test.before(t, r)
			}
			err := r.askPromise(test.from, test.stamp)
			refused(t, err, test.code)
			if given := r.promises.alive() > 0; given != (test.code == api.OK) {
				t.Errorf("promised: %v", given)
			}
		})
	}

	r := newPromiser(t)
	body, err := json.Marshal(api.PromiseFailsafeRequest{HostGroup: "orders", Primary: primary, Stamp: now, LeaseMS: 1})
	ok(t, err)
	for name, from := range map[string]context.Context{
		"a proxy":               asPeer(t, api.RoleProxy, primary),
		"an agent, not proven":  asRole(t, api.RoleAgent),
		"a keeper":              asRole(t, api.RoleKeeper),
		"the agent of a fourth": asPeer(t, api.RoleAgent, "127.0.0.1:3304"),
		"another of the group":  asPeer(t, api.RoleAgent, other), // that asks for the primary
	} {
		if _, err := r.PeerHandler()(from, &wire.Request{Name: api.PromiseFailsafe, Body: body}); !errors.Is(err, api.ErrForbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPromiseIsKept (R13, R16): a promise outlives its process and keeps its server
// from being prepared or promoted; what is prepared promises no more.
func TestPromiseIsKept(t *testing.T) {
	r := newPromiser(t)
	ok(t, r.askPromise(primary, stamp(2, api.StepIdle)))
	end := r.promises.End

	r = r.restart() // lost by a restart
	if r.promises.End != end || r.promises.alive() == 0 {
		t.Error("a restart lost the promise")
	}
	answer, err := r.prepare(3)
	refused(t, err, api.PromiseAlive)
	var wait api.PromiseAliveData
	e, _ := errors.AsType[*api.Error](err)
	if err := json.Unmarshal([]byte(e.Data), &wait); err != nil || wait.WaitMS <= 0 || wait.WaitMS > lease.For(brief).Promise.Milliseconds() {
		t.Errorf("wait %+v, %v", wait, err)
	}
	if m := r.remembered(); m.Prepared != 3 {
		t.Errorf("it is not prepared while it waits: %+v, %+v", m, answer)
	}
	refused(t, r.askPromise(primary, stamp(2, api.StepIdle)), api.StaleGeneration)
	r.lend()
	if err := r.lease.Holds(); err == nil {
		t.Error("a server is promoted while its agent's promise is alive")
	}
	eventually(t, "it is prepared when the promise is over", func() bool { _, err := r.prepare(3); return err == nil })
	if lease.Until(end) > 0 {
		t.Errorf("prepared %v before the end of its promise", lease.Until(end))
	}
	r = r.restart()
	refused(t, r.askPromise(primary, stamp(2, api.StepIdle)), api.StaleGeneration)
}

// TestPromiseOfAnotherBoot counts whole again: the clock began anew.
func TestPromiseOfAnotherBoot(t *testing.T) {
	r := newPromiser(t)
	ok(t, r.askPromise(primary, stamp(2, api.StepIdle)))
	for name, change := range map[string]func(*promise){
		"over, on that clock":  func(p *promise) { p.End = 1 },
		"far, on that clock":   func(p *promise) { p.End = lease.Now().Add(time.Hour) },
		"this clock, far away": func(p *promise) { p.End, p.Boot = lease.Now().Add(time.Hour), r.boot },
	} {
		t.Run(name, func(t *testing.T) {
			p := r.promises.promise
			p.Boot = "another"
			change(&p)
			ok(t, r.promises.write(p))
			again, err := openPromises(r.dir, r.boot, false)
			ok(t, err)
			if left := again.alive(); left > p.Length || left < p.Length-time.Second {
				t.Errorf("%v of %v are left", left, p.Length)
			}
			once, err := openPromises(r.dir, r.boot, false)
			ok(t, err)
			if once.End != again.End && p.Boot == "another" {
				t.Error("the second start counts it anew")
			}
		})
	}
}

// TestWiped (R16): a directory that was begun a moment ago promises nothing and is
// not prepared for as long as what was there may have promised, also after another start.
func TestWiped(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		p, err := openPromises(dir, "boot", true)
		ok(t, err)
		refused(t, p.over(brief.Milliseconds()), api.PromiseAlive)
		refused(t, p.give(lease.Now(), primary, stamp(1, 0), lease.For(brief).Promise, func() error { return nil }), api.NoPromise)
		if p.alive() > 0 {
			t.Error("a new server cannot become writable")
		}
	}
	p, err := openPromises(dir, "another boot", false)
	ok(t, err)
	refused(t, p.over(lease.Longest.Milliseconds()), api.PromiseAlive)
	p.Fresh = lease.Now().Add(-lease.For(brief).Promise)
	ok(t, p.over(brief.Milliseconds()))
	refused(t, p.over(lease.Longest.Milliseconds()), api.PromiseAlive) // keepers with longer leases
	ok(t, p.give(lease.Now(), primary, stamp(1, 0), lease.For(brief).Promise, func() error { return nil }))
}
