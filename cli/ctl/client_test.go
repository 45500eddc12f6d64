package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// peer is a real server on loopback that answers with one handler.
type peer struct {
	address string
	mu      sync.Mutex
	seen    []wire.Request
	hello   wire.Principal
}

func newPeer(t *testing.T, answer func(p *peer, req *wire.Request) (any, error)) *peer {
	t.Helper()
	p := &peer{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = ln.Addr().String()
	server, err := transport.NewServer(transport.ServerConfig{
		Hello: func(_ context.Context, caller wire.Principal, _ *wire.Request) (wire.Principal, *wire.Response, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.hello = caller
			data, err := json.Marshal(api.HelloAnswer{Version: api.ProtocolVersion, MemberID: p.address})
			return caller, &wire.Response{Data: data}, err
		},
		Invoker: wire.Config{Handler: func(_ context.Context, req *wire.Request) (*wire.Response, error) {
			p.mu.Lock()
			p.seen = append(p.seen, *req)
			p.mu.Unlock()
			body, err := answer(p, req)
			if err != nil {
				return nil, err
			}
			data, err := json.Marshal(body)
			return &wire.Response{Data: data}, err
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { server.Serve(ctx, ln) })
	t.Cleanup(func() {
		cancel()
		ln.Close()
		done, stop := context.WithTimeout(context.Background(), time.Millisecond)
		defer stop()
		server.Shutdown(done)
		served.Wait()
	})
	return p
}

func (p *peer) requests() []wire.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]wire.Request(nil), p.seen...)
}

// connectReal is the client that zeroctl really uses.
func connectReal(t *testing.T, c Connection) *ClientKeepers {
	t.Helper()
	k, err := NewClientKeepers(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// TestClientKeepers follows a redirect, sends a write with its place in a
// session, and gives errors back with their codes.
func TestClientKeepers(t *testing.T) {
	leader := newPeer(t, func(_ *peer, req *wire.Request) (any, error) {
		switch req.Name {
		case api.SectionGet:
			return api.SectionAnswer{Data: []byte{0, 0xff}, Index: 7}, nil
		case api.SectionPut:
			return struct{}{}, nil
		case api.GroupList:
			return "no object", nil
		}
		return nil, api.Errorf(api.SwitchInProgress, "switch sw-6 is in progress")
	})
	follower := newPeer(t, func(_ *peer, req *wire.Request) (any, error) {
		if req.Name == api.NodeStatus {
			return api.NodeStatusAnswer{Name: "follower"}, nil
		}
		hint, err := json.Marshal(api.LeaderHint{ID: leader.address, Address: leader.address, Term: 3})
		if err != nil {
			return nil, err
		}
		return nil, &api.Error{Code: api.NotLeader, Msg: "ask the leader", Data: string(hint)}
	})
	k := connectReal(t, Connection{Endpoints: []string{follower.address}, Consistency: "leader"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	var section api.SectionAnswer
	if err := k.Read(ctx, api.SectionGet, api.SectionRequest{ID: []byte("i")}, &section); err != nil || string(section.Data) != "\x00\xff" {
		t.Fatalf("read: %+v, %v", section, err)
	}
	for range 2 {
		if err := k.Write(ctx, api.SectionPut, api.SectionRequest{ID: []byte("i")}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Write(ctx, api.SwitchStart, api.SwitchStartRequest{}, nil); exitOf(err) != ExitRefused {
		t.Errorf("refused: exit %d, %v", exitOf(err), err)
	}
	if err := k.Read(ctx, api.GroupList, struct{}{}, &api.GroupListAnswer{}); codeOf(err) != api.DataRead {
		t.Errorf("an answer that cannot be read: %v", err)
	}
	var status api.NodeStatusAnswer
	if err := k.At(ctx, follower.address, api.NodeStatus, struct{}{}, &status); err != nil || status.Name != "follower" {
		t.Errorf("at: %+v, %v", status, err)
	}

	seen := leader.requests()
	if len(seen) != 5 {
		t.Fatalf("the leader saw %d requests", len(seen))
	}
	if got := seen[0].Meta.Get(api.MetaConsistency); got != "leader" {
		t.Errorf("consistency %q", got)
	}
	first, second := seen[1].Meta, seen[2].Meta
	if first.Get(api.MetaSession) == "" || first.Get(api.MetaSession) != second.Get(api.MetaSession) || first.Get(api.MetaSeq) != "1" || second.Get(api.MetaSeq) != "2" {
		t.Errorf("writes without their place: %v, %v", first, second)
	}
	if leader.hello.Role != api.RoleOperator || !strings.Contains(leader.hello.ID, "@") {
		t.Errorf("the caller is %+v", leader.hello)
	}
}

func TestClientKeepersWithoutKeepers(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	closed.Close()
	k := connectReal(t, Connection{Endpoints: []string{address}})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err = k.Read(ctx, api.GroupList, struct{}{}, nil)
	if !errors.Is(err, ErrUnreachable) || exitOf(err) != ExitUnreachable || codeOf(err) != api.NetConnect {
		t.Errorf("exit %d, code %d: %v", exitOf(err), codeOf(err), err)
	}
	if err := k.At(t.Context(), address, api.NodeStatus, struct{}{}, nil); err == nil || reason(err) != "connect: connection refused" {
		t.Errorf("at: %v (%s)", err, reason(err))
	}
	if _, err := NewClientKeepers(Connection{}); err == nil {
		t.Error("a client without endpoints was made")
	}
}
