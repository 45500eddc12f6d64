package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// group is a few fake keepers with one state between them, as if replicated. A test
// says who leads, what they answer, and when they lose a connection.
type group struct {
	t       testing.TB
	members []*member

	mu     sync.Mutex
	leader int // index, -1: none
	term   uint64
	state  map[string]*fakeSession
	order  []string // bodies of the writes, as they happened

	loseAnswers float64 // probability that a write happens and its connection is lost
	loseWrites  float64 // probability that the connection is lost and nothing happens
	code        api.Code
	helloSilent bool // Hello does not say who leads
}

type fakeSession struct {
	answers map[uint64]string
	acked   uint64
}

type member struct {
	group   *group
	index   int
	address string
	stop    func()
	hint    *api.LeaderHint // lie instead of the truth
	asked   int             // requests of any kind
	greeted int             // Hellos
	route   wire.InvokeRoute
}

func newGroup(t testing.TB, n int) *group {
	g := &group{t: t, leader: -1, state: make(map[string]*fakeSession)}
	for i := range n {
		m := &member{group: g, index: i}
		g.members = append(g.members, m)
		m.start("127.0.0.1:0")
	}
	return g
}

// start listens and serves until the test ends or stop.
func (m *member) start(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		m.group.t.Fatal(err)
	}
	m.address = l.Addr().String()
	s, err := NewServer(ServerConfig{
		Hello: m.hello,
		Invoker: wire.Config{Handler: wire.Handlers{
			"Write": m.write, "Read": m.read, "Block": m.block, "Who": whoami, "Local": m.local,
		}.Serve},
		OnConnect: func(inv *wire.Invoker) {
			if p := inv.Principal(); p.ConnectionType == wire.ConnectionCommand {
				if old := m.route.Register(p.ID, inv); old != nil {
					old.Stop(nil)
				}
			}
		},
		OnClose: func(inv *wire.Invoker, _ error) { m.route.Remove(inv.Principal().ID, inv) },
	})
	if err != nil {
		m.group.t.Fatal(err)
	}
	m.stop = background(m.group.t, func(ctx context.Context) error { return s.Serve(ctx, l) })
}

func (g *group) endpoints() []string {
	var all []string
	for _, m := range g.members {
		all = append(all, m.address)
	}
	return all
}

// elect makes member i the leader of the next term; -1: there is none.
func (g *group) elect(i int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.term++
	g.leader = i
}

// set changes the group under its lock.
func (g *group) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

func (m *member) id() string { return "k" + strconv.Itoa(m.index) }

// truth is what m says of the leader. The group's mu is held.
func (m *member) truth() api.LeaderHint {
	if m.hint != nil {
		return *m.hint
	}
	if m.group.leader < 0 {
		return api.LeaderHint{Term: m.group.term}
	}
	l := m.group.members[m.group.leader]
	return api.LeaderHint{ID: l.id(), Address: l.address, Term: m.group.term}
}

func (m *member) hello(_ context.Context, caller wire.Principal, _ *wire.Request) (wire.Principal, *wire.Response, error) {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	m.greeted++
	if m.group.helloSilent {
		return caller, nil, nil
	}
	data, err := json.Marshal(api.HelloAnswer{Version: 1, MemberID: m.id(), Leader: m.truth()})
	return caller, &wire.Response{Data: data}, err
}

// lead is nil if m leads, else the answer of one that does not. mu is held.
func (m *member) lead() error {
	m.asked++
	g := m.group
	switch {
	case g.code != api.OK:
		return &api.Error{Code: g.code}
	case g.leader == m.index && m.hint == nil:
		return nil
	case g.leader < 0 && m.hint == nil:
		return api.ErrNoLeader
	}
	data, err := json.Marshal(m.truth())
	if err != nil {
		return err
	}
	return &api.Error{Code: api.NotLeader, Data: string(data)}
}

// write happens once for each session and seq.
func (m *member) write(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := m.lead(); err != nil {
		return nil, err
	}
	if rand.Float64() < g.loseWrites {
		wire.FromContext(ctx).Stop(nil)
		return nil, nil
	}
	answer, err := g.apply(req)
	if rand.Float64() < g.loseAnswers {
		wire.FromContext(ctx).Stop(nil)
	}
	return &wire.Response{Data: []byte(answer)}, err
}

func (g *group) apply(req *wire.Request) (string, error) {
	id := req.Meta.Get(api.MetaSession)
	if id == "" {
		g.order = append(g.order, string(req.Body))
		return fmt.Sprint(len(g.order)), nil
	}
	seq, _, err := req.Meta.Uint(api.MetaSeq)
	if err != nil {
		return "", err
	}
	acked, _, err := req.Meta.Uint(api.MetaAcked)
	if err != nil {
		return "", err
	}
	s := g.state[id]
	if s == nil {
		if acked > 0 { // it had answers once: it was forgotten
			return "", &api.Error{Code: api.SessionGone}
		}
		s = &fakeSession{answers: make(map[uint64]string)}
		g.state[id] = s
	}
	s.acked = max(s.acked, acked)
	if seq <= s.acked {
		return "", &api.Error{Code: api.SessionGone, Msg: "the seq was acknowledged"}
	}
	for old := range s.answers {
		if old <= s.acked {
			delete(s.answers, old)
		}
	}
	if answer, ok := s.answers[seq]; ok {
		return answer, nil
	}
	g.order = append(g.order, string(req.Body))
	s.answers[seq] = fmt.Sprint(len(g.order))
	return s.answers[seq], nil
}

func (m *member) read(ctx context.Context, _ *wire.Request) (*wire.Response, error) {
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := m.lead(); err != nil {
		return nil, err
	}
	if rand.Float64() < g.loseAnswers {
		wire.FromContext(ctx).Stop(nil)
	}
	return &wire.Response{Data: []byte(fmt.Sprint(len(g.order)))}, nil
}

func (m *member) block(ctx context.Context, _ *wire.Request) (*wire.Response, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (m *member) local(context.Context, *wire.Request) (*wire.Response, error) {
	return &wire.Response{Data: []byte(m.id())}, nil
}

// quick has short waits.
func quick(endpoints []string) ClientConfig {
	return ClientConfig{
		Endpoints: endpoints, BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond, GreyTime: 20 * time.Millisecond,
		Hello: api.HelloRequest{Role: api.RoleProxy, ID: "p1"},
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
