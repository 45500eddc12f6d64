package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

func TestConfigValidate(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	good := Config{Name: "k1", DataDir: "d", Advertise: "10.0.0.1:7001", Listener: l, BootstrapExpect: 3, Join: []string{"10.0.0.2:7001"}, Peers: &directory{}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		spoil func(c *Config)
		want  string
	}{
		{"no name", func(c *Config) { c.Name = "" }, "name"},
		{"name with a space", func(c *Config) { c.Name = "k 1" }, "name"},
		{"no directory", func(c *Config) { c.DataDir = "" }, "data directory"},
		{"no address", func(c *Config) { c.Advertise = "" }, "advertised address"},
		{"address of everybody", func(c *Config) { c.Advertise = ":7001" }, "advertised address"},
		{"IPv6 unspecified", func(c *Config) { c.Advertise = "[::]:7001" }, "advertised address"},
		{"HTTP without a port", func(c *Config) { c.HTTPAdvertise = "h" }, "HTTP"},
		{"expect below 0", func(c *Config) { c.BootstrapExpect = -1 }, "bootstrap-expect"},
		{"expect above 9", func(c *Config) { c.BootstrapExpect = 10 }, "bootstrap-expect"},
		{"nobody to expect", func(c *Config) { c.Join = []string{c.Advertise} }, "no other keeper"},
		{"bad join", func(c *Config) { c.Join = []string{"x"} }, "join"},
		{"too many joins", func(c *Config) { c.Join = make([]string, 33) }, "join"},
		{"no peers", func(c *Config) { c.Peers = nil }, "client"},
		{"no listener", func(c *Config) { c.Listener = nil }, "listener"},
		{"no heartbeat", func(c *Config) { c.Timing = Timing{Election: time.Second} }, "heartbeat"},
		{"election below heartbeat", func(c *Config) { c.Timing = testTiming; c.Timing.Election /= 2 }, "election"},
		{"lease above heartbeat", func(c *Config) { c.Timing = testTiming; c.Timing.Lease *= 2 }, "lease"},
		{"no commit", func(c *Config) { c.Timing = testTiming; c.Timing.Commit = 0 }, "commit"},
		{"negative interval", func(c *Config) { c.SnapshotInterval = -1 }, "snapshot interval"},
		{"short wait", func(c *Config) { c.ApplyTimeout = 1 }, "apply timeout"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := good
			test.spoil(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want it to name %q", err, test.want)
			}
			if n, err := Open(t.Context(), c); err == nil {
				_ = n.kill()
				t.Error("it opens")
			}
		})
	}
	for name := range profiles {
		p, err := Profile(name)
		c := good
		c.Timing = p
		if err != nil || c.Validate() != nil {
			t.Errorf("profile %s: %v, %v", name, err, c.Validate())
		}
	}
	if _, err := Profile("quick"); err == nil {
		t.Error("a profile that does not exist")
	}
}

func TestAddressBook(t *testing.T) {
	config := raft.Configuration{Servers: []raft.Server{{ID: "me", Address: "a:1"}, {ID: "b", Address: "b:1"}}}
	book := &addressBook{self: "me", local: "a:2", registry: func() raft.Configuration { return config }}
	want := func(id raft.ServerID, address string) {
		t.Helper()
		if got, err := book.ServerAddr(id); string(got) != address || (err == nil) != (address != "") {
			t.Errorf("%s is at %q, %v; want %q", id, got, err, address)
		}
	}
	want("me", "a:2") // plain: it goes into votes
	want("b", "b@b:1")
	want("c", "")
	book.sighted("b", "b:2") // it says so itself
	want("b", "b@b:2")
	book.sighted("c", "c:1") // not one of us
	want("c", "")
	config.Servers[1].Address = "b:3" // newer than what it said
	want("b", "b@b:3")
	book.sighted("b", "b:3")
	want("b", "b@b:3")
	book.sighted("me", "x:1")
	want("me", "a:2")
}

func TestRaftLogger(t *testing.T) {
	out := new(syncBuffer)
	root := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: out})
	l := newRaftLogger(root)
	l.Info("entering follower state")
	l.Log(hclog.Info, "chatter")
	l.Warn("no known peers, aborting election")
	for range 3 {
		l.Named("x").Warn("failed to contact", "server-id", "b")
		l.With("k", "v").Error("failed to heartbeat to")
		l.ResetNamed("y").Log(hclog.Error, "failed to take snapshot")
	}
	text := out.String()
	for what, count := range map[string]int{
		"entering follower": 0, "chatter": 0, "no known peers": 0,
		"[WARN]  x: failed to contact": 1, "[WARN]  failed to heartbeat": 1, "[ERROR] y: failed to take snapshot": 1,
	} {
		if got := strings.Count(text, what); got != count {
			t.Errorf("%q stands %d times in the log, want %d:\n%s", what, got, count, text)
		}
	}
	l.stop()
	l.Error("connection reset")
	if strings.Contains(out.String(), "connection reset") {
		t.Error("a node that stops is not quiet")
	}
}

func TestPeersOver(t *testing.T) {
	var asked string
	answer := any(nil)
	var failure error
	p := PeersOver(callerFunc(func(address, name string, body []byte) ([]byte, error) {
		asked = address + " " + name + " " + string(body)
		data, err := json.Marshal(answer)
		return data, errors.Join(failure, err)
	}))
	answer = api.KeeperDiscoverAnswer{MemberID: "m", Fresh: true}
	got, err := p.Discover(t.Context(), "a:1", api.KeeperDiscoverRequest{MemberID: "x", Expect: 3})
	if err != nil || got.MemberID != "m" || !got.Fresh {
		t.Errorf("discover: %+v, %v", got, err)
	}
	if asked != `a:1 KeeperDiscover {"memberId":"x","name":"","address":"","expect":3}` {
		t.Errorf("asked %s", asked)
	}
	answer = api.NodeStatusAnswer{Index: 7}
	if s, err := p.Status(t.Context(), "a:1"); err != nil || s.Index != 7 || asked != "a:1 NodeStatus {}" {
		t.Errorf("status: %+v, %v after %s", s, err, asked)
	}
	if err := p.Join(t.Context(), "a:1", api.KeeperJoinRequest{}); err != nil || !strings.HasPrefix(asked, "a:1 KeeperJoin ") {
		t.Errorf("join: %v after %s", err, asked)
	}
	answer = "no object"
	if _, err := p.Status(t.Context(), "a:1"); err == nil {
		t.Error("an answer of another shape was read")
	}
	failure = &api.Error{Code: api.NotLeader, Data: `{"id":"x","address":"b:1","term":3}`}
	err = p.Join(t.Context(), "a:1", api.KeeperJoinRequest{})
	if next, ok := leaderIn(err); !ok || next != "b:1" {
		t.Errorf("the leader in %v is %q", err, next)
	}
	for _, e := range []error{nil, errors.New("x"), api.ErrNoLeader, &api.Error{Code: api.NotLeader}, &api.Error{Code: api.NotLeader, Data: `{"address":"nowhere"}`}} {
		if next, ok := leaderIn(e); ok {
			t.Errorf("%v leads to %q", e, next)
		}
	}
}

type callerFunc func(address, name string, body []byte) ([]byte, error)

func (f callerFunc) CallAt(_ context.Context, address, name string, _ wire.Meta, body []byte) (*wire.Response, error) {
	data, err := f(address, name, body)
	return &wire.Response{Data: data}, err
}

var _ Caller = (*transport.Client)(nil)
