package agent

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// TestBadInputGrants: what a keeper that is wrong, or somebody who passes for one,
// answers to a heartbeat makes no server writable that is not named, and no lease
// longer than the longest.
func TestBadInputGrants(t *testing.T) {
	good := grant(stamp(1, api.StepIdle), 1, own, true)
	with := func(change func(g *api.Grant)) []api.Grant {
		g := good
		change(&g)
		return []api.Grant{g}
	}
	for _, test := range []struct {
		name   string
		grants []api.Grant
		length time.Duration
	}{
		{"another server's identity", with(func(g *api.Grant) { g.Primary.ServerID = "999" }), 0},
		{"another address", with(func(g *api.Grant) { g.Primary.Address = other }), 0},
		{"no address", with(func(g *api.Grant) { g.Primary.Address = "" }), 0},
		{"not open", with(func(g *api.Grant) { g.Open = false }), 0},
		{"nothing at all", nil, 0},
		{"no lease", with(func(g *api.Grant) {}), -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := &keeper{grants: test.grants, length: test.length}
			r := newRig(t, fenced())
			r.run(k)
			eventually(t, "some heartbeats", func() bool { return k.count() > 5 })
			if !r.db.readOnly() || r.lease.Holds() == nil {
				t.Errorf("it is writable: %v, holds a lease: %v", !r.db.readOnly(), r.lease.Holds() == nil)
			}
		})
	}
	t.Run("a lease for ever", func(t *testing.T) {
		k := &keeper{grants: []api.Grant{good}, length: math.MaxInt64}
		r := newRig(t, fenced())
		r.run(k)
		eventually(t, "it is writable", func() bool { return !r.db.readOnly() })
		if left := lease.Until(r.lease.moment()); left > lease.Longest {
			t.Errorf("it holds for %v", left)
		}
	})
}

// TestBadInputOrders: an order with nonsense in its stamp, of a step in which it is
// not given, or for somebody else, changes neither server nor memory.
func TestBadInputOrders(t *testing.T) {
	fence := api.FenceDatasourceRequest{HostGroup: "orders", Primary: me(), BoundMS: 1000}
	foreign := fence
	foreign.Primary.ServerID = "999"
	elsewhere := fence
	elsewhere.HostGroup = "users"
	for _, test := range []struct {
		name  string
		stamp api.Stamp
		body  api.FenceDatasourceRequest
		want  api.Code
	}{
		{"no such step", api.Stamp{Generation: 9, Step: 200}, fence, api.BadRequest},
		{"in the step of another order", api.Stamp{Generation: 9, Step: api.StepIdle}, fence, api.BadRequest},
		{"a generation that is over", api.Stamp{Step: api.StepFencing}, fence, api.StaleGeneration},
		{"another identity", stamp(9, api.StepFencing), foreign, api.IdentityMismatch},
		{"another host group", stamp(9, api.StepFencing), elsewhere, api.IdentityMismatch},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newLeased(t, writable())
			_, _, err := r.adopt(r.call, grant(stamp(1, api.StepIdle), 1, own, true))
			ok(t, err)
			before := r.remembered()
			if _, err := r.give(test.stamp, api.FenceDatasource, test.body); err == nil {
				t.Error("it was obeyed")
			} else if code, _ := api.CodeOf(err); code != test.want {
				t.Errorf("refused with %v, want %d", err, test.want)
			}
			if r.remembered() != before || r.db.called("Fence") != 0 || r.db.readOnly() {
				t.Errorf("something was done: %+v, was %+v", r.remembered(), before)
			}
		})
	}
}

// TestBadInputMemory: a memory that was damaged is refused, not taken for an empty one.
func TestBadInputMemory(t *testing.T) {
	r := newRig(t, replica())
	path := r.notes.path
	ok(t, r.Close())
	for _, text := range []string{"{", "null and void", `{"address":"` + other + `"}`} {
		ok(t, writeFile(path, text))
		if a, err := Open(config(r.dir, r.db)); err == nil {
			_ = a.Close()
			t.Errorf("%q was believed", text)
		} else if !strings.Contains(err.Error(), "remember") && !strings.Contains(err.Error(), "another server") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }
