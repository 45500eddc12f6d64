package agent

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// at is a scripted server at an address.
type at struct {
	*database
	address string
}

func (d at) Address() string { return d.address }

// mesh is the network between the agents of a group.
type mesh struct {
	mu     sync.Mutex
	agents map[string]*Agent // by where they listen
	frozen map[string]bool   // they do not answer
	asked  map[string]int
}

// view is the mesh as the agent of one address is seen in it.
type view struct {
	*mesh
	from context.Context
}

func (v view) CallAt(ctx context.Context, endpoint, name string, meta wire.Meta, body []byte) (*wire.Response, error) {
	v.mu.Lock()
	a, frozen := v.agents[endpoint], v.frozen[endpoint]
	v.asked[endpoint]++
	v.mu.Unlock()
	if frozen || a == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return a.PeerHandler()(v.from, &wire.Request{Name: name, Meta: meta, Body: body})
}

func (m *mesh) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *mesh) count(endpoint string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked[endpoint]
}

// asPeer is the context of a request of a machine that has proven its role.
func asPeer(t testing.TB, role, address string) context.Context {
	t.Helper()
	return asPrincipal(t, wire.Principal{Role: role, ID: "x", Auth: "token", Hello: api.HelloRequest{Role: role, ID: "x", Address: address}})
}

func listens(address string) string { return strings.Replace(address, ":33", ":73", 1) }

// trio is a group of three agents and the keepers of each, with leases of a length.
type trio struct {
	*mesh
	t       *testing.T
	agents  []*rig // the first is the primary's
	keepers []*keeper
	grant   api.Grant
}

var members = []string{own, primary, other}

// groupGrant is what keepers say of a group with failsafe.
func groupGrant(s api.Stamp, writable string, open bool, set ...string) api.Grant {
	g := grant(s, 1, writable, open)
	g.Failsafe, g.ReplicaSet = true, set
	for _, address := range set {
		g.Peers = append(g.Peers, api.Peer{Address: address, Listen: listens(address)})
	}
	return g
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	g := &trio{t: t, mesh: &mesh{agents: map[string]*Agent{}, frozen: map[string]bool{}, asked: map[string]int{}}, grant: groupGrant(stamp(1, api.StepIdle), own, true, members...)}
	for i, address := range members {
		state := replica()
		state.Replication = replicating(own)
		if i == 0 {
			state = fenced()
		}
		g.keepers = append(g.keepers, &keeper{grants: []api.Grant{g.grant}, length: brief})
		g.open(i, t.TempDir(), &database{state: state, fail: map[string]error{}, hang: map[string]bool{}, gone: make(chan struct{})}, address)
	}
	return g
}

// open makes the agent of one server.
func (g *trio) open(i int, dir string, db *database, address string) {
	g.t.Helper()
	r := reopen(g.t, dir, db, func(c *Config) { c.Database, c.Listen = at{db, address}, listens(address) })
	r.Reach(view{g.mesh, asPeer(g.t, api.RoleAgent, address)})
	g.mesh.set(func() { g.mesh.agents[listens(address)] = r.Agent })
	if i == len(g.agents) {
		g.agents = append(g.agents, r)
	} else {
		g.agents[i] = r
	}
}

// start runs all agents, with keepers, until the primary is writable and all know
// of each other.
func (g *trio) start() (stop []func()) {
	g.t.Helper()
	for i, r := range g.agents {
		stop = append(stop, r.runUntil(g.keepers[i]))
		once := sync.OnceFunc(stop[i])
		stop[i] = once
		g.t.Cleanup(once)
	}
	for _, r := range g.agents {
		eventually(g.t, "all know the group", func() bool { m := r.remembered(); return m.Failsafe && m.Peers != "" })
	}
	eventually(g.t, "the primary is writable", func() bool { return !g.agents[0].db.readOnly() && g.agents[0].remembered().ReplicaSet != "" })
	return stop
}

// keepersGone, keepersBack.
func (g *trio) keepersGone(gone bool) {
	for _, k := range g.keepers {
		k.set(func() { k.down = gone })
	}
}

func (g *trio) holds() bool { return g.agents[0].View().Failsafe.Holds }

// writableFor checks that the primary's server stays writable.
func (g *trio) writableFor(d time.Duration) {
	g.t.Helper()
	for end := lease.Now().Add(d); lease.Until(end) > 0; <-time.After(10 * time.Millisecond) {
		if g.agents[0].db.readOnly() {
			g.t.Fatal("the primary became read-only: ", g.agents[0].View().Failsafe)
		}
	}
}

// TestFailsafe: without keepers the primary stays writable while all promise, and
// is read-only before a promise is over when one does not. Keepers that are back end it.
func TestFailsafe(t *testing.T) {
	g := newTrio(t)
	g.start()
	g.keepersGone(true)
	g.writableFor(3 * brief)
	if v := g.agents[0].View().Failsafe; !v.Holds || v.Since.IsZero() || v.Begun != 1 || v.Left == 0 {
		t.Errorf("%+v", v)
	}
	for _, r := range g.agents[1:] {
		if r.promises.alive() == 0 {
			t.Error("held without a promise")
		}
	}
	// Keepers are back in the middle.
	g.keepersGone(false)
	eventually(t, "it is over", func() bool { v := g.agents[0].View().Failsafe; return !v.Holds && v.Ended == endedByKeeper })
	g.writableFor(brief)

	// One replica's agent does not answer.
	g.keepersGone(true)
	eventually(t, "it holds again", g.holds)
	g.set(func() { g.frozen[listens(other)] = true })
	eventually(t, "it is read-only", g.agents[0].db.readOnly)
	if g.agents[1].promises.alive() == 0 || g.agents[2].promises.alive() == 0 {
		t.Error("read-only only when a promise was over")
	}
	eventually(t, "it shows", func() bool { v := g.agents[0].View().Failsafe; return !v.Holds && v.Ended == endedUnpromised })
	g.set(func() { g.frozen[listens(other)] = false })
	eventually(t, "it is writable again", func() bool { return !g.agents[0].db.readOnly() })
}

// TestNoFailsafe: nothing is asked for in a group that does not use it, or whose
// agents do not listen.
func TestNoFailsafe(t *testing.T) {
	for name, change := range map[string]func(*trio){
		"off":                        func(g *trio) { g.grant.Failsafe = false },
		"one listens nowhere":        func(g *trio) { g.grant.Peers = g.grant.Peers[:2] },
		"the replicas are not known": func(g *trio) { g.grant.ReplicaSet = nil },
	} {
		t.Run(name, func(t *testing.T) {
			g := newTrio(t)
			change(g)
			g.keepers[0].set(func() { g.keepers[0].grants = []api.Grant{g.grant} })
			for i, r := range g.agents {
				r.run(g.keepers[i])
			}
			eventually(t, "it is writable", func() bool { return !g.agents[0].db.readOnly() })
			g.keepersGone(true)
			eventually(t, "it is read-only", g.agents[0].db.readOnly)
			if g.holds() || g.count(listens(other)) > 0 {
				t.Error("it holds")
			}
		})
	}
}

// TestPrimaryRestartsAlone: the primary's agent is started anew while no keeper
// answers. It has no lease, and gets one by promises.
func TestPrimaryRestartsAlone(t *testing.T) {
	g := newTrio(t)
	stop := g.start()
	g.keepersGone(true)
	eventually(t, "it holds", g.holds)
	stop[0]()
	old := g.agents[0]
	ok(t, old.Close())
	g.open(0, old.dir, old.db, own)
	fences := old.db.called("SetReadOnly")
	g.agents[0].run(g.keepers[0])
	eventually(t, "a start is read-only", func() bool { return old.db.called("SetReadOnly") > fences })
	eventually(t, "it is writable by promises", func() bool { return !old.db.readOnly() })
	g.writableFor(brief)
}

// TestSetIsAgreedWhenQuiet (R17): a replica that is added during the outage is not
// known to the primary's agent while anything of failsafe is alive.
func TestSetIsAgreedWhenQuiet(t *testing.T) {
	g := newTrio(t)
	g.grant = groupGrant(stamp(1, api.StepIdle), own, true, own, primary)
	for _, k := range g.keepers {
		k.set(func() { k.grants = []api.Grant{g.grant} })
	}
	g.start()
	eventually(t, "the set of two is stored", func() bool { return g.agents[0].remembered().ReplicaSet == own+","+primary })
	g.keepersGone(true)
	eventually(t, "it holds by the promise of one", g.holds)
	if g.count(listens(other)) > 0 {
		t.Error("one was asked that is not in the set")
	}
	more := groupGrant(stamp(1, api.StepIdle), own, true, members...)
	for _, k := range g.keepers {
		k.set(func() { k.grants = []api.Grant{more}; k.down = false })
	}
	seen := false
	eventually(t, "the set of three is stored", func() bool {
		left := g.agents[0].failsafe.quiet()
		stored := g.agents[0].remembered().ReplicaSet
		seen = seen || stored == own+","+primary && left > 0
		if stored == own+","+primary+","+other && left > 0 {
			t.Fatalf("stored while %v of failsafe are left", left)
		}
		return stored == own+","+primary+","+other
	})
	if !seen {
		t.Log("the machine was too slow to see it wait") // it cannot be said then
	}

	f := newFailsafe(memory{ReplicaSet: own}) // a start: Q later
	if f.quiet() == 0 {
		t.Error("after a start the set is replaced at once")
	}
	f.before = lease.Now()
	for name, at := range map[string]*lease.Instant{"round": &f.asking, "lease": &f.until, "lent": &f.lent} {
		*at = lease.Now().Add(time.Minute)
		if f.quiet() == 0 {
			t.Errorf("the set is replaced while a %s is alive", name)
		}
		*at = 0
	}
	if f.quiet() > 0 {
		t.Error("the set is never replaced")
	}
}

// TestWhoAsks (R18a, R18f).
func TestWhoAsks(t *testing.T) {
	r := newLeased(t, writable())
	r.Reach(view{})
	ok(t, r.hear(groupGrant(stamp(2, api.StepIdle), own, true, members...)))
	r.failsafe.learn("orders", stamp(2, api.StepIdle))
	_, err := r.mayAsk(r.remembered())
	ok(t, err)
	for name, change := range map[string]func(*memory){
		"not the primary":            func(m *memory) { m.Role = roleNotPrimary },
		"off":                        func(m *memory) { m.Failsafe = false },
		"no replica set":             func(m *memory) { m.ReplicaSet = "" },
		"a switch stops it":          func(m *memory) { m.Stamp = stamp(3, api.StepStopping) },
		"fenced, and not said so":    func(m *memory) { m.Stamp = stamp(3, api.StepFencing) },
		"an older stamp than it saw": func(m *memory) { m.Stamp = stamp(1, api.StepIdle) },
	} {
		m := r.remembered()
		change(&m)
		if _, err := r.mayAsk(m); err == nil {
			t.Errorf("it asks: %s", name)
		}
	}
	r.failsafe.learn("orders", stamp(3, api.StepStopping)) // before it is on the disk
	if _, err := r.mayAsk(r.remembered()); err == nil {
		t.Error("it asks although it heard of a switch")
	}
}

// TestOpenSwitchIsRemembered: in a group with failsafe, whether a switch is open
// outlives the process; else a step is not worth a write.
func TestOpenSwitchIsRemembered(t *testing.T) {
	r := newLeased(t, writable())
	r.Reach(view{})
	ok(t, r.hear(groupGrant(stamp(2, api.StepIdle), own, true, members...)))
	ok(t, r.hear(groupGrant(stamp(3, api.StepRequested), own, true, members...)))
	ok(t, r.hear(groupGrant(stamp(3, api.StepStopping), own, true, members...)))
	r = r.restart()
	r.Reach(view{})
	if _, err := r.mayAsk(r.remembered()); err == nil {
		t.Error("a restart forgot the open switch")
	}
	ok(t, r.hear(groupGrant(stamp(3, api.StepIdle), own, true, members...)))
	r = r.restart()
	r.Reach(view{})
	if _, err := r.mayAsk(r.remembered()); err != nil {
		t.Error("a restart forgot that it is over:", err)
	}
}

// TestTakenAwayInARound: what takes the role away while promises are on their way
// wins.
func TestTakenAwayInARound(t *testing.T) {
	for name, happens := range map[string]func(t *testing.T, r *rig){
		"fenced": func(t *testing.T, r *rig) { _, err := r.fence(2); ok(t, err) },
		"another is granted": func(t *testing.T, r *rig) {
			r.granted(lease.Now(), api.HeartbeatAnswer{Grants: []api.Grant{grant(stamp(2, api.StepIdle), 2, primary, true)}})
		},
		"a keeper answers": func(_ *testing.T, r *rig) { r.failsafe.answered(lease.Now(), api.HeartbeatAnswer{}) },
		"a switch begins": func(_ *testing.T, r *rig) {
			r.failsafe.learn("orders", stamp(2, api.StepStopping))
		},
		"another set": func(t *testing.T, r *rig) {
			m := r.remembered()
			m.ReplicaSet = own + "," + primary + "," + other
			ok(t, r.remember(m))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newLeased(t, writable())
			ok(t, r.hear(groupGrant(stamp(1, api.StepIdle), own, true, own, primary)))
			r.failsafe.heard, r.lease.end = 1, 0
			r.Reach(peersFunc(func(body []byte) (*wire.Response, error) {
				happens(t, r)
				return promiseOf(t, body, primary), nil
			}))
			if err := r.round(t.Context()); err == nil || r.failsafe.until != 0 || r.lease.Holds() == nil {
				t.Errorf("it holds: %v", err)
			}
		})
	}
}

type peersFunc func(body []byte) (*wire.Response, error)

func (f peersFunc) CallAt(_ context.Context, _, _ string, _ wire.Meta, body []byte) (*wire.Response, error) {
	return f(body)
}

func promiseOf(t *testing.T, body []byte, address string) *wire.Response {
	var asked api.PromiseFailsafeRequest
	ok(t, json.Unmarshal(body, &asked))
	data, err := json.Marshal(api.PromiseFailsafeAnswer{Address: address, Round: asked.Round})
	ok(t, err)
	return &wire.Response{Data: data}
}

// TestRound (R18b, R18d): the lease runs from the sending of the round, and needs
// the answers of all to this very round.
func TestRound(t *testing.T) {
	for _, test := range []struct {
		name  string
		set   []string
		slow  time.Duration
		peers func(t *testing.T, body []byte) (*wire.Response, error)
		holds bool
	}{
		{"all promise", []string{own, primary}, 0, func(t *testing.T, b []byte) (*wire.Response, error) { return promiseOf(t, b, primary), nil }, true},
		{"slowly", []string{own, primary}, 100 * time.Millisecond, func(t *testing.T, b []byte) (*wire.Response, error) { return promiseOf(t, b, primary), nil }, true},
		{"alone in the group", []string{own}, 0, nil, true},
		{"one of two", []string{own, primary, other}, 0, func(t *testing.T, b []byte) (*wire.Response, error) { return promiseOf(t, b, primary), nil }, false},
		{"another round", []string{own, primary}, 0, func(*testing.T, []byte) (*wire.Response, error) {
			return &wire.Response{Data: []byte(`{"address":"` + primary + `","round":7}`)}, nil
		}, false},
		{"no JSON", []string{own, primary}, 0, func(*testing.T, []byte) (*wire.Response, error) { return &wire.Response{}, nil }, false},
		{"refused", []string{own, primary}, 0, func(*testing.T, []byte) (*wire.Response, error) { return nil, api.Errorf(api.NoPromise, "no") }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newLeased(t, writable())
			ok(t, r.hear(groupGrant(stamp(1, api.StepIdle), own, true, test.set...)))
			r.failsafe.heard, r.lease.end = 1, 0
			r.Reach(peersFunc(func(body []byte) (*wire.Response, error) {
				<-time.After(test.slow) // the thing tested
				return test.peers(t, body)
			}))
			m := r.remembered()
			sent := lease.Now()
			err := r.round(t.Context())
			if (err == nil) != test.holds {
				t.Fatalf("it holds: %v, want %v", err, test.holds)
			}
			if end := sent.Add(timesOf(m.LeaseMS).Failsafe); test.holds && (r.failsafe.until < end || r.failsafe.until > end.Add(80*time.Millisecond) || r.lease.moment() != r.failsafe.until) {
				t.Errorf("the lease ends %v after it should", r.failsafe.until.Sub(end))
			}
		})
	}
}

// TestPeersInMemory: who listens where survives as one text.
func TestPeersInMemory(t *testing.T) {
	peers := map[string]string{}
	for _, p := range api.SplitPeers(api.JoinPeers(groupGrant(api.Stamp{}, own, true, members...).Peers)) {
		peers[p.Address] = p.Listen
	}
	if got := slices.Sorted(maps.Keys(peers)); !slices.Equal(got, slices.Sorted(slices.Values(members))) || peers[own] != listens(own) {
		t.Errorf("%v", peers)
	}
	if api.SplitPeers("") != nil || len(api.SplitPeers(api.JoinPeers([]api.Peer{{Address: "a,b", Listen: "c"}, {Address: "a"}}))) != 0 {
		t.Error("what cannot be kept is kept")
	}
}
