package keeper

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// given is an order as a proxy or agent got it.
type given struct {
	to       string
	name     string
	nth      int // of this name to this actor, from 1
	stamp    api.Stamp
	stamped  bool
	switchID string
	body     []byte
}

func (g given) String() string {
	return fmt.Sprintf("%-28s %-30s %s %s", g.to, g.name, g.stamp, g.body)
}

// bodyOf decodes the body of an order.
func bodyOf[T any](t *testing.T, g given) T {
	t.Helper()
	var body T
	if err := json.Unmarshal(g.body, &body); err != nil {
		t.Errorf("%s: %v", g, err)
	}
	return body
}

// tape records every order of a test, in the order of their coming in.
type tape struct {
	mu     sync.Mutex
	orders []given
}

func (tp *tape) add(g given) given {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	for _, o := range tp.orders {
		if o.to == g.to && o.name == g.name {
			g.nth++
		}
	}
	g.nth++
	tp.orders = append(tp.orders, g)
	return g
}

// of are the orders of that name; of all names when it is empty.
func (tp *tape) of(name string) []given {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	var list []given
	for _, o := range tp.orders {
		if name == "" || o.name == name {
			list = append(list, o)
		}
	}
	return list
}

func (tp *tape) clear() {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.orders = nil
}

func (tp *tape) String() string {
	var b strings.Builder
	for _, o := range tp.of("") {
		fmt.Fprintln(&b, o)
	}
	return b.String()
}

// answer is what an actor does with an order.
type answer func(ctx context.Context, g given) (any, error)

// actor is a scripted proxy or agent: a real client in link mode that records
// every order and answers what the test says.
type actor struct {
	f      *fleet
	id     string
	hello  api.HelloRequest
	client *transport.Client
	stop   func() // ends its connection for good

	mu      sync.Mutex
	answers map[string]answer
	usual   answer
	seq     uint64

	status, confVersion, confError string // of a proxy

	readOnly bool // of an agent's server
	prepared uint64
	serverID string

	listen    string // of an agent
	dead      bool   // an agent's server
	receiving bool
	zone      string
	lag       int64 // ms
	received  string
	applied   string
	failing   bool // a proxy's probes of db0

	says    func(*api.AgentHeartbeatRequest) // what else an agent's heartbeat says
	stamps  map[string]api.Stamp             // that a proxy has seen
	source  string                           // that an agent's server replicates from
	waiting int64                            // ms for which the commits of an agent's server wait in vain
	unfit   string                           // why an agent's server cannot be the primary
	deaf    bool                             // an agent does not act on what it is told
	synced  bool                             // commits of an agent's server wait for an acknowledgement
	told    api.HeartbeatAnswer

	leaseless []string // host groups that a proxy has no lease for
}

// start connects an actor and waits until the leader can reach it.
func (f *fleet) start(a *actor) *actor {
	f.t.Helper()
	a.f, a.answers = f, map[string]answer{}
	a.client = f.client(a.hello, a.handle)
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = a.client.Run(ctx) }) // ends with ctx or the client
	a.stop = func() { cancel(); run.Wait() }
	f.t.Cleanup(a.stop)
	a.connected()
	return a
}

// connected waits until the leader can reach the actor.
func (a *actor) connected() {
	a.f.t.Helper()
	eventually(a.f.t, a.id+" is connected", func() bool {
		_, ok := a.route(a.f.leader().keeper.Load()).Get(a.key())
		return ok
	})
}

func (a *actor) route(k *Keeper) *wire.InvokeRoute {
	if a.hello.Role == api.RoleProxy {
		return &k.proxies
	}
	return &k.agents
}

func (a *actor) key() string {
	if a.hello.Role == api.RoleProxy {
		return proxyKey(a.hello.Cluster, a.hello.ID)
	}
	return a.hello.Address
}

// set changes what the actor says of itself.
func (a *actor) set(change func(a *actor)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

// on says how an order of that name is answered from now on; nil: as usual.
func (a *actor) on(name string, f answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[name] = f
}

// block makes the next order of that name wait; each later one is answered as
// usual. entered is closed when it came in.
func (a *actor) block(name string) (entered chan struct{}, release func()) {
	entered = make(chan struct{})
	released := make(chan struct{})
	var first, once sync.Once
	a.on(name, func(ctx context.Context, g given) (any, error) {
		blocked := false
		first.Do(func() { blocked = true })
		if blocked {
			close(entered)
			select {
			case <-released:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return a.usual(ctx, g)
	})
	return entered, func() { once.Do(func() { close(released) }) }
}

// handle records an order and answers it.
func (a *actor) handle(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	a.mu.Lock()
	id := a.id
	a.mu.Unlock()
	g := given{to: id, name: req.Name, body: req.Body, switchID: req.Meta.Get(api.MetaSwitchID)}
	if text, ok := req.Meta.Lookup(api.MetaStamp); ok {
		stamp, err := api.ParseStamp(text)
		if err != nil {
			a.f.t.Errorf("%s: %v", a.id, err)
		}
		g.stamp, g.stamped = stamp, true
	}
	g = a.f.tape.add(g)
	a.mu.Lock()
	f := a.answers[req.Name]
	a.mu.Unlock()
	if f == nil {
		f = a.usual
	}
	data, err := f(ctx, g)
	if err != nil || data == nil {
		return nil, err
	}
	encoded, err := json.Marshal(data)
	return &wire.Response{Data: encoded}, err
}

// drop ends the connection; the actor connects again.
func (a *actor) drop() {
	if inv := a.client.CommandConnection(); inv != nil {
		inv.Stop(nil)
	}
}

// refuses answers with an error, once or for ever.
func refuses(code api.Code, msg string) answer {
	return func(context.Context, given) (any, error) { return nil, api.Errorf(code, "%s", msg) }
}

// untilNth answers with an error until the nth order of the name.
func (a *actor) untilNth(n int, code api.Code) answer {
	return func(ctx context.Context, g given) (any, error) {
		if g.nth < n {
			return nil, api.Errorf(code, "not yet")
		}
		return a.usual(ctx, g)
	}
}

// silent never answers: it waits until the keeper gives up.
func silent(ctx context.Context, _ given) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// says answers with that, whatever is asked.
func says(data any) answer {
	return func(context.Context, given) (any, error) { return data, nil }
}

// disconnected waits until the leader has noticed that the actor is gone.
func (a *actor) disconnected() {
	eventually(a.f.t, a.id+" is gone", func() bool {
		_, ok := a.route(a.f.leader().keeper.Load()).Get(a.key())
		return !ok
	})
}
