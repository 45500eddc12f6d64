package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// keepers are scripted keepers behind real servers: they have one state, and
// the test says who leads.
type keepers struct {
	t       *testing.T
	addrs   []string
	stopped []func()

	mu       sync.Mutex
	leader   int
	term     uint64
	listed   bool
	confID   string
	content  string
	grants   []api.Grant
	interval int64
	lease    int64
	seq      uint64 // to answer with instead of the one asked, if not 0
	asked    []string
	switches []api.ClusterDatasourcesSwitchRequest
	beats    []api.ProxyHeartbeatRequest
	by       []int // who answered them
	at       []time.Time
}

func newKeepers(t *testing.T, n int) *keepers {
	t.Helper()
	k := &keepers{t: t, term: 1, interval: 20, lease: 30_000}
	for i := range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		ok(t, err)
		k.addrs = append(k.addrs, ln.Addr().String())
		srv, err := transport.NewServer(transport.ServerConfig{
			Hello: func(_ context.Context, caller wire.Principal, _ *wire.Request) (wire.Principal, *wire.Response, error) {
				k.mu.Lock()
				defer k.mu.Unlock()
				data, err := json.Marshal(api.HelloAnswer{Version: 1, MemberID: k.addrs[i], Leader: k.hint()})
				return caller, &wire.Response{Data: data}, err
			},
			Invoker: wire.Config{Handler: func(_ context.Context, req *wire.Request) (*wire.Response, error) { return k.answer(i, req) }},
		})
		ok(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = srv.Serve(ctx, ln) }() // ends with ctx
		k.stopped = append(k.stopped, func() { cancel(); <-done })
	}
	t.Cleanup(func() {
		for _, stop := range k.stopped {
			stop()
		}
	})
	return k
}

// hint is who leads. mu is held.
func (k *keepers) hint() api.LeaderHint {
	if k.leader < 0 {
		return api.LeaderHint{Term: k.term}
	}
	return api.LeaderHint{ID: k.addrs[k.leader], Address: k.addrs[k.leader], Term: k.term}
}

// elect makes a keeper the leader; -1: there is none.
func (k *keepers) elect(i int) {
	k.set(func() { k.leader, k.term = i, k.term+1 })
}

func (k *keepers) set(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func (k *keepers) answer(i int, req *wire.Request) (*wire.Response, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if hint := k.hint(); hint.Address != k.addrs[i] {
		data, err := json.Marshal(hint)
		if err != nil {
			return nil, err
		}
		return nil, &api.Error{Code: api.NotLeader, Data: string(data)}
	}
	k.asked = append(k.asked, req.Name)
	switch req.Name {
	case api.ProxyRegister:
		k.listed = true
		return nil, nil
	case api.ClusterDatasourcesSwitch:
		var body api.ClusterDatasourcesSwitchRequest
		if err := json.Unmarshal(req.Body, &body); err != nil {
			return nil, err
		}
		k.switches = append(k.switches, body)
		return nil, api.Errorf(api.TooFewVotes, "not now")
	case api.ConfigFetch:
		return &wire.Response{Data: []byte(k.content), Meta: wire.Meta{{Key: api.MetaConfigID, Value: k.confID}}}, nil
	case api.ProxyHeartbeat:
		var beat api.ProxyHeartbeatRequest
		if err := json.Unmarshal(req.Body, &beat); err != nil {
			return nil, err
		}
		k.beats, k.by, k.at = append(k.beats, beat), append(k.by, i), append(k.at, time.Now())
		answer := api.HeartbeatAnswer{Seq: beat.Seq, ConfVersion: k.confID, IntervalMS: k.interval, Grants: k.grants, LeaseMS: k.lease}
		if k.seq != 0 {
			answer.Seq = k.seq
		}
		if k.listed {
			answer.Status = api.StatusReady
		}
		data, err := json.Marshal(answer)
		return &wire.Response{Data: data}, err
	}
	return nil, api.ErrUnknownRequest
}

// last is the newest heartbeat.
func (k *keepers) last() api.ProxyHeartbeatRequest {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.beats) == 0 {
		return api.ProxyHeartbeatRequest{}
	}
	return k.beats[len(k.beats)-1]
}

func (k *keepers) count(name string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, a := range k.asked {
		if a == name {
			n++
		}
	}
	return n
}

// linked runs a proxy against the keepers until the test ends.
func (k *keepers) linked(r *rig) {
	k.t.Helper()
	client, err := transport.NewClient(transport.ClientConfig{Endpoints: k.addrs, Hello: r.Hello(), Handler: r.Handler(), BackoffMax: 50 * time.Millisecond})
	ok(k.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = client.Run(ctx) }) // ends with ctx
	running.Go(func() { r.Run(ctx, client) })
	k.t.Cleanup(func() {
		cancel()
		running.Wait()
		ok(k.t, client.Close())
	})
}

func TestLifeWithKeepers(t *testing.T) {
	k := newKeepers(t, 1)
	k.confID, k.content = "1.0.0", docAB
	k.grants = []api.Grant{grant(stamp(1, api.StepIdle), 0, 0, addrA, true)}
	r := newRig(t)
	k.linked(r)
	eventually(t, "it is up", func() bool { return k.last().Status == api.StatusUp })
	ok(t, r.Ready())
	r.is(addrA, true)
	k.set(func() {
		if i := slices.Index(k.asked, api.ProxyHeartbeat); i != 1 || k.asked[0] != api.ProxyRegister {
			t.Errorf("it asked %v: want it to register first", k.asked)
		}
		first := k.beats[0]
		if first.Status != api.StatusReady || first.ClusterName != "shop" || first.Address != "127.0.0.1:3306" || first.Seq == 0 || first.Incarnation == "" || first.ConfVersion != "" {
			t.Errorf("the first heartbeat: %+v", first)
		}
	})
	if b := k.last(); b.ConfVersion != "1.0.0" || b.Stamps["orders"].Generation != 1 {
		t.Errorf("a later heartbeat: %+v", b)
	}

	// A new version is fetched once; one that cannot be used is not asked for again.
	k.set(func() { k.confID, k.content = "2.0.0", document("", "orders "+addrA) })
	eventually(t, "the new version runs", func() bool { return k.last().ConfVersion == "2.0.0" })
	k.set(func() { k.confID, k.content = "3.0.0", "basic: [" })
	eventually(t, "its reason is told", func() bool { return k.last().ConfError != "" })
	beats := k.count(api.ProxyHeartbeat)
	eventually(t, "time goes by", func() bool { return k.count(api.ProxyHeartbeat) > beats+5 })
	if n := k.count(api.ConfigFetch); n != 3 || k.last().ConfVersion != "2.0.0" {
		t.Errorf("%d fetches, it runs %q", n, k.last().ConfVersion)
	}

	// Forgotten by the keepers: it registers again by itself.
	k.set(func() { k.listed = false })
	eventually(t, "it registers again", func() bool { return k.count(api.ProxyRegister) == 2 })
	eventually(t, "it is up again", func() bool { _, open, _ := r.live.Load().groups["orders"].gate.Current(); return open })

	// An answer to another heartbeat is no answer.
	k.set(func() {
		k.seq = 1
		k.grants = []api.Grant{grant(stamp(2, api.StepStopping), 0, 0, addrA, false)}
	})
	beats = k.count(api.ProxyHeartbeat)
	eventually(t, "time goes by", func() bool { return k.count(api.ProxyHeartbeat) > beats+3 })
	r.is(addrA, true)
	k.set(func() { k.seq = 0 })
	eventually(t, "it is held", func() bool { _, open, _ := r.live.Load().groups["orders"].gate.Current(); return !open })
}

// fakeNow is the clock of leases in fake time.
func fakeNow() lease.Instant { return lease.Instant(time.Now().UnixNano()) }

// TestBeatsInTime runs in fake time: one registration, heartbeats as the keepers
// want them, and quick tries after a failure: a lease may be running out.
func TestBeatsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := Open(config(t.TempDir()))
		ok(t, err)
		defer p.Close()
		p.now = fakeNow
		var asked []string
		began, down := time.Now(), true
		link := script(func(name string, body []byte) (*wire.Response, error) {
			asked = append(asked, fmt.Sprint(name, " ", time.Since(began).Milliseconds()))
			if down = down && len(asked) < 8; down {
				return nil, errors.New("down")
			}
			var beat api.ProxyHeartbeatRequest
			ok(t, json.Unmarshal(body, &beat))
			data, err := json.Marshal(api.HeartbeatAnswer{Seq: beat.Seq, Status: api.StatusReady, IntervalMS: 1000})
			return &wire.Response{Data: data}, err
		})
		ctx, cancel := context.WithTimeout(t.Context(), 4500*time.Millisecond)
		defer cancel()
		p.Run(ctx, link)
		want := []string{
			"ProxyRegister 0", "ProxyRegister 20", "ProxyRegister 60", "ProxyRegister 140", "ProxyRegister 220", "ProxyRegister 300", "ProxyRegister 380",
			"ProxyRegister 460", "ProxyHeartbeat 460", "ProxyHeartbeat 1460", "ProxyHeartbeat 2460", "ProxyHeartbeat 3460", "ProxyHeartbeat 4460",
		}
		if !slices.Equal(asked, want) {
			t.Errorf("asked %q, want %q", asked, want)
		}
		if silence := p.Silence(); silence != 40*time.Millisecond {
			t.Errorf("silence %v", silence)
		}
	})
}

// TestLossOfKeepers: while nobody answers writes go on until the lease ends, and
// are held then; the next leader is found soon, and opens them again.
func TestLossOfKeepers(t *testing.T) {
	k := newKeepers(t, 2)
	k.confID, k.content, k.interval, k.lease = "1.0.0", docAB, 200, 1500
	k.grants = []api.Grant{grant(stamp(1, api.StepIdle), 0, 0, addrA, true)}
	r := newRig(t)
	k.linked(r)
	eventually(t, "it is up", func() bool { return k.last().Status == api.StatusUp })

	k.elect(-1)
	beats := k.count(api.ProxyHeartbeat)
	r.poke()
	eventually(t, "the silence shows", func() bool { return r.Silence() > 300*time.Millisecond })
	if n := k.count(api.ProxyHeartbeat); n != beats {
		t.Errorf("%d heartbeats were answered without a leader", n-beats)
	}
	r.is(addrA, true)
	g, _ := r.LookupGroup("orders")
	eventually(t, "writes are held", func() bool { _, open, _ := g.Gate.Current(); return !open })
	if silence := r.Silence(); silence < 1400*time.Millisecond-200*time.Millisecond {
		t.Errorf("held after %v", silence)
	}
	ok(t, r.Ready()) // clients are better served by it than by none

	k.stopped[0]() // the leader dies, and the other leads
	k.elect(1)
	began := time.Now()
	eventually(t, "the new leader answers", func() bool { return k.count(api.ProxyHeartbeat) > beats })
	k.set(func() {
		took := k.at[beats].Sub(began)
		t.Logf("%v from the election to the first heartbeat that the new leader answered", took)
		if k.by[beats] != 1 || took > 2*time.Second {
			t.Errorf("answered by keeper %d after %v", k.by[beats], took)
		}
	})
	eventually(t, "the silence is over", func() bool { return r.Silence() < 300*time.Millisecond })
	eventually(t, "writes go on", func() bool { _, open, _ := g.Gate.Current(); return open })
}

// TestLeaderDies measures how long a proxy is without keepers when one leader
// dies and another is there at once.
func TestLeaderDies(t *testing.T) {
	k := newKeepers(t, 2)
	k.confID, k.content, k.interval = "1.0.0", docAB, 100
	r := newRig(t)
	k.linked(r)
	eventually(t, "it is up", func() bool { return k.last().Status == api.StatusUp })
	k.elect(1)
	k.stopped[0]()
	died := time.Now()
	eventually(t, "the other one answers", func() bool { k.mu.Lock(); defer k.mu.Unlock(); return k.by[len(k.by)-1] == 1 })
	k.set(func() {
		took := k.at[slices.Index(k.by, 1)].Sub(died)
		t.Logf("%v from the leader's death to the next heartbeat that was answered", took)
		if took > 2*time.Second {
			t.Errorf("%v", took)
		}
	})
}

// TestKeepersThatMakeNoSense: whatever they answer, the proxy goes on.
func TestKeepersThatMakeNoSense(t *testing.T) {
	r := up(t)
	for name, answer := range map[string]string{
		"not JSON": "{", "another type": `{"seq":"one"}`, "a list": "[]", "nothing": "", "another heartbeat": `{"seq":7}`,
	} {
		link := script(func(string, []byte) (*wire.Response, error) { return &wire.Response{Data: []byte(answer)}, nil })
		if _, _, err := r.ask(t.Context(), link, 1); err == nil {
			t.Errorf("%s: taken for an answer", name)
		}
	}
	for name, fetched := range map[string]*wire.Response{
		"no version":  {Data: []byte(docAB)},
		"bad version": {Data: []byte(docAB), Meta: wire.Meta{{Key: api.MetaConfigID, Value: "../../x"}}},
	} {
		link := script(func(string, []byte) (*wire.Response, error) { return fetched, nil })
		err := r.obey(t.Context(), link, r.stand().life, lease.Now(), api.HeartbeatAnswer{Status: api.StatusUp, ConfVersion: "9.0.0"})
		refused(t, err, api.ConfigCheck)
		if r.live.Load().ConfigID != "1.0.0" {
			t.Errorf("%s: applied", name)
		}
	}
	link := script(func(string, []byte) (*wire.Response, error) { return nil, errors.New("gone") })
	if err := r.obey(t.Context(), link, r.stand().life, lease.Now(), api.HeartbeatAnswer{Status: api.StatusUp, ConfVersion: "8.0.0"}); err == nil {
		t.Error("a fetch that failed is no error")
	}
	r.is(addrA, true)
}
