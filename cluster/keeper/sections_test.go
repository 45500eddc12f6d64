package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

func TestSectionsOverInvokes(t *testing.T) {
	f := newFleet(t, 1, tuning{})
	put := api.SectionRequest{ID: []byte{0, 1}, Section: []byte("s"), Data: []byte("value")}
	var stored api.SectionPutAnswer
	f.must(api.SectionPut, put, &stored)
	if stored.Version != 1 || stored.Index == 0 {
		t.Errorf("stored as %+v, want version 1", stored)
	}
	none := uint64(0)
	wantCode(t, "only if there is none", f.ask(api.SectionPut, api.SectionRequest{ID: put.ID, Section: put.Section, Version: &none}, nil), api.Conflict)
	var got api.SectionAnswer
	f.must(api.SectionGet, api.SectionRequest{ID: put.ID, Section: put.Section}, &got)
	if string(got.Data) != "value" || got.Index == 0 || time.Since(time.Unix(got.Timestamp, 0)) > time.Minute {
		t.Errorf("read back %+v", got)
	}
	err := f.ask(api.SectionGet, api.SectionRequest{ID: []byte("x"), Section: []byte("s")}, nil)
	if wantCode(t, "a section that is not there", err, api.KeyMissing); err == nil || !strings.Contains(err.Error(), "no section") {
		t.Errorf("answered %v", err)
	}
	f.must(api.SectionPut, []byte(`{"id":"","section":"","data":"eA=="}`), nil) // empty keys are keys
	if row := f.state().Section("", ""); row == nil || string(row.Data) != "x" {
		t.Errorf("the empty keys hold %+v", row)
	}
	wantCode(t, "bad base64", f.ask(api.SectionPut, []byte(`{"id":"%","section":""}`), nil), api.BadRequest)
	wantCode(t, "an unknown consistency", func() error {
		_, err := f.op.Call(within(t), api.SectionGet, wire.Meta{{Key: api.MetaConsistency, Value: "eventual"}}, []byte(`{"id":"","section":""}`))
		return err
	}(), api.BadRequest)
	for _, level := range []string{"linearizable", "leader", "stale"} {
		resp, err := f.op.Call(within(t), api.SectionGet, wire.Meta{{Key: api.MetaConsistency, Value: level}}, []byte(`{"id":"","section":""}`))
		if err != nil || resp.Meta.Get(api.MetaServedBy) != "k1" || resp.Meta.Get(api.MetaIndex) == "" || resp.Meta.Get(api.MetaTerm) == "" {
			t.Errorf("%s: %+v, %v", level, resp, err)
		}
	}
}

// plain sends one op-0 request over a connection of its own, as a client that
// knows nothing of redirects.
func plain(t *testing.T, address, cmd string, payload []byte) wire.AgentResponse {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	request := wire.AgentRequest{Cmd: []byte(cmd), Payload: payload}
	frame, err := wire.AppendFrame(nil, wire.OpAgent, wire.RandomMask(), request.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	_, body, err := wire.ReadFrame(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := wire.DecodeAgentResponse(body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// TestSectionsOfPlainClients asks every keeper of three: a follower passes on.
func TestSectionsOfPlainClients(t *testing.T) {
	f := newFleet(t, 3, tuning{})
	for _, m := range f.members {
		eventually(t, m.name+" knows the leader", func() bool { return m.node.Leader().ID != "" })
	}
	plain := func(t *testing.T, address, cmd string, payload []byte) (answer wire.AgentResponse) {
		eventually(t, "somebody leads", func() bool {
			answer = plain(t, address, cmd, payload)
			return string(answer.Msg) != "no leader" && string(answer.Msg) != "outcome unknown"
		})
		return answer
	}
	for i, m := range f.members {
		value := []byte(fmt.Sprint("value ", i))
		update := wire.UpdateRequest{ID: []byte("id"), Section: []byte(m.name), Data: value}
		if got := plain(t, m.address, wire.CmdUpdate, update.Append(nil)); got.Code != 0 || len(got.Msg) != 0 {
			t.Errorf("update at %s: %+v", m.name, got)
		}
		for _, other := range f.members {
			query := wire.QueryRequest{ID: []byte("id"), Section: []byte(m.name)}
			got := plain(t, other.address, wire.CmdQuery, query.Append(nil))
			found, err := wire.DecodeQueryResponse(got.Payload)
			if got.Code != 0 || err != nil || !bytes.Equal(found.Data, value) || found.Timestamp == 0 {
				t.Errorf("query at %s: %+v, %+v, %v", other.name, got, found, err)
			}
		}
		query := wire.QueryRequest{ID: []byte("id"), Section: []byte("nothing")}
		if got := plain(t, m.address, wire.CmdQuery, query.Append(nil)); got.Code != wire.AgentFailed || string(got.Msg) != wire.NotExisted {
			t.Errorf("query of nothing at %s: %+v", m.name, got)
		}
	}
}

func TestSectionSize(t *testing.T) {
	f := newFleet(t, 1, tuning{})
	sections := f.leader().keeper.Load().Sections()
	most := make([]byte, fsm.MaxSection-2)
	if err := sections.Update(within(t), []byte("a"), []byte("b"), most); err != nil {
		t.Error(err)
	}
	if _, data, found, err := sections.Query(within(t), []byte("a"), []byte("b")); err != nil || !found || len(data) != len(most) {
		t.Errorf("read %d bytes back, %v, %v", len(data), found, err)
	}
	wantCode(t, "a byte more", sections.Update(within(t), []byte("a"), []byte("b"), append(most, 0)), api.TooLarge)
	update := wire.UpdateRequest{ID: []byte("a"), Section: []byte("c"), Data: most}
	if got := plain(t, f.members[0].address, wire.CmdUpdate, update.Append(nil)); got.Code != 0 {
		t.Errorf("over the wire: %d %s", got.Code, got.Msg)
	}
}

// failing is a store, the leadership and the peers of a keeper that fail.
type failing struct {
	Store
	Leadership
	Peer
	err    error
	leader api.LeaderHint
	answer func(meta wire.Meta) (*wire.Response, error)
}

func (s failing) Propose(context.Context, fsm.Header, fsm.Command) (fsm.Result, error) {
	return fsm.Result{}, s.err
}
func (s failing) Linearizable(context.Context) (*fsm.State, error) { return nil, s.err }
func (s failing) Leader() api.LeaderHint                           { return s.leader }
func (s failing) CallAt(_ context.Context, endpoint, name string, meta wire.Meta, _ []byte) (*wire.Response, error) {
	if endpoint != s.leader.Address || name != api.SectionForward {
		return nil, fmt.Errorf("called %s at %s", name, endpoint)
	}
	return s.answer(meta)
}

// TestPlainErrors: a plain client is told what it can act on.
func TestPlainErrors(t *testing.T) {
	notSent := fmt.Errorf("connect: %w: %w", wire.ErrNotSent, context.DeadlineExceeded)
	unknown := fmt.Errorf("call: %w: %w", api.ErrOutcomeUnknown, io.EOF)
	leader := api.LeaderHint{ID: "k2", Address: "127.0.0.1:2"}
	tests := []struct {
		name    string
		store   error
		leader  api.LeaderHint
		forward error
		update  string
		query   string
	}{
		{name: "no leader", store: api.ErrNoLeader, update: "no leader", query: "no leader"},
		{name: "another leads, unknown who", store: api.ErrNotLeader, update: "no leader", query: "no leader"},
		{name: "stopping", store: api.ErrNotReady, update: "no leader", query: "no leader"},
		{name: "unknown", store: unknown, update: "outcome unknown", query: "no leader"},
		{name: "time is over", store: context.DeadlineExceeded, update: "outcome unknown", query: "no leader"},
		{name: "too large", store: api.Errorf(api.TooLarge, "big"), update: "big (106)", query: "big (106)"},
		{name: "the leader cannot be reached", store: api.ErrNotLeader, leader: leader, forward: notSent, update: "no leader", query: "no leader"},
		{name: "the leader does not answer", store: api.ErrNotLeader, leader: leader, forward: unknown, update: "outcome unknown", query: "no leader"},
		{name: "the leader has moved on", store: api.ErrNotLeader, leader: leader, forward: api.ErrNotLeader, update: "no leader", query: "no leader"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := failing{err: test.store, leader: test.leader, answer: func(wire.Meta) (*wire.Response, error) { return nil, test.forward }}
			sections := Sections{&Keeper{cfg: Config{Store: s, Leadership: s, Peer: s}}}
			if err := sections.Update(t.Context(), nil, nil, nil); err == nil || err.Error() != test.update {
				t.Errorf("update: %v, want %s", err, test.update)
			}
			if _, _, found, err := sections.Query(t.Context(), nil, nil); err == nil || err.Error() != test.query || found {
				t.Errorf("query: %v, want %s", err, test.query)
			}
		})
	}
	// What the leader does not have is no error.
	s := failing{err: api.ErrNotLeader, leader: leader, answer: func(wire.Meta) (*wire.Response, error) { return nil, api.Errorf(api.KeyMissing, "not existed") }}
	if _, _, found, err := (Sections{&Keeper{cfg: Config{Store: s, Leadership: s, Peer: s}}}).Query(t.Context(), nil, nil); found || err != nil {
		t.Errorf("a section that is not there: %v, %v", found, err)
	}
	if !errors.Is(updateError(api.ErrForbidden), api.ErrForbidden) || updateError(nil) != nil || queryError(nil) != nil {
		t.Error("other errors are changed")
	}
}

func TestSectionForward(t *testing.T) {
	f := newFleet(t, 1, tuning{})
	keeper := f.client(api.HelloRequest{Role: api.RoleKeeper, ID: "k9"}, nil)
	for _, test := range []struct {
		name    string
		command string
		body    string
		want    api.Code
	}{{"no command", "", "", api.BadRequest}, {"another command", "sniff", "", api.BadRequest}, {"a short update", "update", "\x01", api.BadRequest}, {"a short query", "query", "\x09\x00\x00\x00a", api.BadRequest}} {
		_, err := keeper.Call(within(t), api.SectionForward, wire.Meta{{Key: api.MetaCommand, Value: test.command}}, []byte(test.body))
		wantCode(t, test.name, err, test.want)
	}
	_, err := f.op.Call(within(t), api.SectionForward, wire.Meta{{Key: api.MetaCommand, Value: "query"}}, nil)
	wantCode(t, "not from a keeper", err, api.Forbidden)
}
