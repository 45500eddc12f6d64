package keeper

import (
	"context"
	"errors"
	"strconv"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

func (k *Keeper) sectionPut(ctx context.Context, c *call[api.SectionRequest]) (api.SectionPutAnswer, error) {
	put := &fsm.PutSection{ID: string(c.body.ID), Section: string(c.body.Section), Data: c.body.Data}
	if c.body.Version != nil {
		put.Compare, put.Version = true, *c.body.Version
	}
	result, err := k.propose(ctx, c.req, put)
	if err != nil {
		return api.SectionPutAnswer{}, err
	}
	version, err := strconv.ParseUint(string(result.Data), 10, 64)
	if err != nil {
		return api.SectionPutAnswer{}, api.Errorf(api.Common, "the section is stored, but its version is %q: %v", result.Data, err)
	}
	return api.SectionPutAnswer{Version: version, Index: result.Index}, nil
}

func (k *Keeper) sectionGet(ctx context.Context, c *call[api.SectionRequest]) (api.SectionAnswer, error) {
	state, err := read(ctx, k, c)
	if err != nil {
		return api.SectionAnswer{}, err
	}
	s := state.Section(string(c.body.ID), string(c.body.Section))
	if s == nil {
		return api.SectionAnswer{}, api.Errorf(api.KeyMissing, "no section %q of id %q", c.body.Section, c.body.ID)
	}
	return api.SectionAnswer{Timestamp: s.Timestamp, Data: s.Data, Index: s.Index, Version: s.Version}, nil
}

// Sections serves op 0 of seed 001: update and query, from clients that know
// no redirect. A follower forwards them to the leader, one hop.
type Sections struct{ k *Keeper }

// Sections is the keeper's op-0 side.
func (k *Keeper) Sections() Sections { return Sections{k} }

// Messages of op-0 answers with code 1, beside "not existed".
var (
	errNoLeader = errors.New("no leader")
	errUnknown  = errors.New("outcome unknown")
)

// updateError is what a plain client is told of an update that failed.
func updateError(err error) error {
	switch {
	case err == nil:
		return nil
	case undone(err):
		return errNoLeader
	case errors.Is(err, api.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return errUnknown
	}
	return err
}

// queryError is what a plain client is told of a query that failed: nothing is
// in doubt, whatever became of it.
func queryError(err error) error {
	if updateError(err) == errUnknown || errors.Is(err, api.ErrDeadline) {
		return errNoLeader
	}
	return updateError(err)
}

// undone reports whether there was no leader that could have done it.
func undone(err error) bool {
	return errors.Is(err, api.ErrNoLeader) || errors.Is(err, api.ErrNotLeader) || errors.Is(err, api.ErrNotReady) || errors.Is(err, wire.ErrNotSent)
}

// Update stores data under the two keys.
func (s Sections) Update(ctx context.Context, id, section, data []byte) error {
	_, err := refused(s.k.cfg.Store.Propose(ctx, fsm.Header{}, &fsm.PutSection{ID: string(id), Section: string(section), Data: data}))
	if leader, ok := s.elsewhere(err); ok {
		body := wire.UpdateRequest{ID: id, Section: section, Data: data}
		_, err = s.k.cfg.Peer.CallAt(ctx, leader, api.SectionForward, wire.Meta{{Key: api.MetaCommand, Value: "update"}}, body.Append(nil))
	}
	return updateError(err)
}

// Query reads what is stored under the two keys; timestamp is in unix seconds.
func (s Sections) Query(ctx context.Context, id, section []byte) (timestamp int64, data []byte, found bool, err error) {
	state, err := s.k.cfg.Store.Linearizable(ctx)
	if err == nil {
		if row := state.Section(string(id), string(section)); row != nil {
			return row.Timestamp, row.Data, true, nil
		}
		return 0, nil, false, nil
	}
	leader, ok := s.elsewhere(err)
	if !ok {
		return 0, nil, false, queryError(err)
	}
	body := wire.QueryRequest{ID: id, Section: section}
	resp, err := s.k.cfg.Peer.CallAt(ctx, leader, api.SectionForward, wire.Meta{{Key: api.MetaCommand, Value: "query"}}, body.Append(nil))
	switch {
	case errors.Is(err, api.ErrKeyMissing):
		return 0, nil, false, nil
	case err != nil:
		return 0, nil, false, queryError(err)
	}
	answer, err := wire.DecodeQueryResponse(resp.Data)
	return answer.Timestamp, answer.Data, err == nil, err
}

// elsewhere is the leader's address, when err says that it is another keeper.
func (s Sections) elsewhere(err error) (string, bool) {
	if !errors.Is(err, api.ErrNotLeader) {
		return "", false
	}
	hint := s.k.cfg.Leadership.Leader()
	return hint.Address, hint.Address != ""
}

// sectionForward serves what a follower passes on. This keeper answers
// NotLeader rather than to pass it on again.
func (k *Keeper) sectionForward(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	if role := wire.PrincipalFrom(ctx).Role; role != api.RoleKeeper {
		return nil, api.Errorf(api.Forbidden, "%s: not for the role %q", req.Name, role)
	}
	switch command := req.Meta.Get(api.MetaCommand); command {
	case "update":
		u, err := wire.DecodeUpdateRequest(req.Body)
		if err != nil {
			return nil, api.Errorf(api.BadRequest, "%s: %v", req.Name, err)
		}
		_, err = refused(k.cfg.Store.Propose(ctx, fsm.Header{}, &fsm.PutSection{ID: string(u.ID), Section: string(u.Section), Data: u.Data}))
		return nil, err
	case "query":
		q, err := wire.DecodeQueryRequest(req.Body)
		if err != nil {
			return nil, api.Errorf(api.BadRequest, "%s: %v", req.Name, err)
		}
		state, err := k.cfg.Store.Linearizable(ctx)
		if err != nil {
			return nil, err
		}
		row := state.Section(string(q.ID), string(q.Section))
		if row == nil {
			return nil, api.Errorf(api.KeyMissing, "not existed")
		}
		answer := wire.QueryResponse{Timestamp: row.Timestamp, Data: row.Data}
		return &wire.Response{Data: answer.Append(nil)}, nil
	default:
		return nil, api.Errorf(api.BadRequest, "%s: no command %q", req.Name, command)
	}
}
