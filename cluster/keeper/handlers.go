package keeper

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// handlerTable names who answers what, and to which roles. A handler bears the
// name that the seed gives it.
func (k *Keeper) handlerTable() wire.Handlers {
	return wire.Handlers{
		// arrow 1
		api.ConfigFetch:              handle(k.ConfigFetchProcessor, nil, api.RoleProxy, api.RoleOperator),
		api.ProxyRegister:            handle(k.ProxyRegisterProcessor, nil, api.RoleProxy),
		api.ProxyUnregister:          handle(k.ProxyUnregisterProcessor, []string{"reason"}, api.RoleProxy),
		api.ClusterDatasourcesSwitch: handle(k.ClusterDatasourcesSwitchProcessor, []string{"hostGroup", "fromIndex", "toIndex", "reason"}, api.RoleProxy, api.RoleOperator),
		api.ProxyHeartbeat:           handle(k.ProxyHeartbeatProcessor, []string{"status"}, api.RoleProxy),
		// arrow 4
		api.AgentHeartbeat: handle(k.AgentHeartbeatProcessor, []string{"address"}, api.RoleAgent),
		// operators
		api.ClusterView:     handle(k.clusterView, nil, api.RoleOperator),
		api.MemberList:      handle(k.memberList, nil, api.RoleOperator),
		api.MemberRemove:    handle(k.memberRemove, []string{"member"}, api.RoleOperator),
		api.LeaderTransfer:  handle(k.leaderTransfer, nil, api.RoleOperator),
		api.ConfigPush:      handle(k.configPush, []string{"content"}, api.RoleOperator),
		api.ConfigList:      handle(k.configList, nil, api.RoleOperator),
		api.ConfigShow:      handle(k.configShow, nil, api.RoleOperator),
		api.ConfigRollback:  handle(k.configRollback, nil, api.RoleOperator),
		api.GroupList:       handle(k.groupList, nil, api.RoleOperator),
		api.GroupThaw:       handle(k.groupThaw, []string{"hostGroup", "primary"}, api.RoleOperator),
		api.ProxyList:       handle(k.proxyList, nil, api.RoleOperator),
		api.ProxyActivate:   handle(k.proxyActivate, []string{"id"}, api.RoleOperator),
		api.ProxyDrop:       handle(k.proxyDrop, []string{"id"}, api.RoleOperator),
		api.AgentList:       handle(k.agentList, nil, api.RoleOperator),
		api.AgentLoad:       handle(k.agentLoad, []string{"address"}, api.RoleOperator),
		api.AgentBinlog:     handle(k.agentBinlog, []string{"address"}, api.RoleOperator),
		api.AgentStateFetch: handle(k.agentState, []string{"address"}, api.RoleOperator),
		api.SectionGet:      handle(k.sectionGet, []string{"id", "section"}, api.RoleOperator, api.RoleKeeper, api.RoleAgent, api.RoleClient),
		api.SectionPut:      handle(k.sectionPut, []string{"id", "section"}, api.RoleOperator, api.RoleKeeper, api.RoleAgent, api.RoleClient),
		api.SwitchStart:     handle(k.switchStart, []string{"hostGroup", "toIndex", "reason"}, api.RoleOperator),
		api.SwitchList:      handle(k.switchList, nil, api.RoleOperator),
		api.SwitchShow:      handle(k.switchShow, []string{"id"}, api.RoleOperator),
		api.SwitchAbort:     handle(k.switchAbort, []string{"id", "reason"}, api.RoleOperator),
		api.ReplicaDrop:     handle(k.replicaDrop, []string{"hostGroup", "address", "reason"}, api.RoleOperator),
		api.SnapshotSave:    handle(k.snapshotSave, nil, api.RoleOperator),

		api.GroupMaintenance: handle(k.groupMaintenance, []string{"hostGroup", "on"}, api.RoleOperator),
		api.BrakeSet:         handle(k.brakeSet, []string{"on"}, api.RoleOperator),
		api.SwitchAck:        handle(k.switchAck, []string{"id"}, api.RoleOperator),
		api.SwitchDryRun:     handle(k.switchDryRun, []string{"hostGroup", "toIndex", "reason"}, api.RoleOperator),
		// any keeper, leader or not
		api.NodeStatus:     handle(k.nodeStatus, nil),
		api.KeeperDiscover: handle(k.keeperDiscover, []string{"memberId"}, api.RoleKeeper),
		api.SectionForward: k.sectionForward,
		api.KeeperJoin:     handle(k.keeperJoin, []string{"memberId", "address"}, api.RoleKeeper),
	}
}

// call is one request, decoded.
type call[B any] struct {
	body B
	req  *wire.Request
	who  wire.Principal
	meta wire.Meta // of the answer
}

// none is the answer of a request whose data is "" in the seed.
type none struct{}

// text is an answer whose data is not JSON.
type text string

// handle makes a wire handler of one that takes and returns structs. The
// members in required must be in the body; roles are who may call, all when
// there are none.
func handle[B, A any](f func(context.Context, *call[B]) (A, error), required []string, roles ...string) wire.Handler {
	return func(ctx context.Context, req *wire.Request) (*wire.Response, error) {
		c := &call[B]{req: req, who: wire.PrincipalFrom(ctx)}
		if len(roles) > 0 && !slices.Contains(roles, c.who.Role) {
			return nil, api.Errorf(api.Forbidden, "%s: not for the role %q", req.Name, c.who.Role)
		}
		if err := api.Decode(req.Name, req.Body, required, &c.body); err != nil {
			return nil, err
		}
		answer, err := f(ctx, c)
		if err != nil {
			return nil, err
		}
		resp := &wire.Response{Meta: c.meta}
		switch a := any(answer).(type) {
		case none:
		case text:
			resp.Data = []byte(a)
		default:
			if resp.Data, err = json.Marshal(answer); err != nil {
				return nil, fmt.Errorf("%s: encode the answer: %w", req.Name, err)
			}
		}
		return resp, nil
	}
}

// header is a command's header for that request: session and sequence make a
// retry happen once.
func header(req *wire.Request) (fsm.Header, error) {
	h := fsm.Header{Session: req.Meta.Get(api.MetaSession)}
	for _, f := range []struct {
		key  string
		into *uint64
	}{{api.MetaSeq, &h.Seq}, {api.MetaAcked, &h.Acked}} {
		n, _, err := req.Meta.Uint(f.key)
		if err != nil {
			return fsm.Header{}, err
		}
		*f.into = n
	}
	return h, nil
}

// propose proposes a command on behalf of a request.
func (k *Keeper) propose(ctx context.Context, req *wire.Request, c fsm.Command) (fsm.Result, error) {
	h, err := header(req)
	if err != nil {
		return fsm.Result{}, err
	}
	return refused(k.cfg.Store.Propose(ctx, h, c))
}

// replied is the answer that a retried request got the first time. Handlers
// that examine the state before they propose ask it first: what they examine
// may have changed because of the first try.
func (k *Keeper) replied(state *fsm.State, req *wire.Request) (fsm.Result, bool, error) {
	h, err := header(req)
	if err != nil || h.Session == "" {
		return fsm.Result{}, false, err
	}
	result, ok := state.Replied(h.Session, h.Seq)
	if !ok {
		return fsm.Result{}, false, nil
	}
	result, err = refused(result, nil)
	return result, true, err
}

// refused turns a refusal into an api error.
func refused(result fsm.Result, err error) (fsm.Result, error) {
	if err == nil && result.Code != 0 {
		err = &api.Error{Code: api.Code(result.Code), Msg: result.Msg}
	}
	return result, err
}

// notLeader is a follower's answer.
func notLeader(hint api.LeaderHint) error {
	data, err := json.Marshal(hint)
	if err != nil {
		return fmt.Errorf("encode leader: %w", err)
	}
	return &api.Error{Code: api.NotLeader, Msg: "ask the leader " + hint.Address, Data: string(data)}
}

// read is the state that a request wants to see (its consistency), and marks
// the answer with what was read.
func read[B any](ctx context.Context, k *Keeper, c *call[B]) (*fsm.State, error) {
	var state *fsm.State
	switch level := c.req.Meta.Get(api.MetaConsistency); level {
	case "", "linearizable":
		s, err := k.cfg.Store.Linearizable(ctx)
		if err != nil {
			return nil, err
		}
		state = s
	case "leader":
		if err := k.leads(); err != nil {
			return nil, err
		}
		state = k.cfg.Store.State()
	case "stale":
		state = k.cfg.Store.State()
	default:
		return nil, api.Errorf(api.BadRequest, "%s: no consistency %q: linearizable, leader or stale", c.req.Name, level)
	}
	c.meta = c.meta.With(api.MetaIndex, strconv.FormatUint(state.Index(), 10)).
		With(api.MetaTerm, strconv.FormatUint(state.Term(), 10)).
		With(api.MetaServedBy, k.name())
	return state, nil
}

// page cuts a list after the item whose key is the cursor.
func page[T any](items []T, p api.Page, key func(T) string) ([]T, string, error) {
	limit := p.Limit
	switch {
	case limit == 0:
		limit = 500
	case limit < 0 || limit > 5000:
		return nil, "", api.Errorf(api.BadRequest, "limit %d: want 1 to 5000", limit)
	}
	if p.Cursor != "" {
		i := slices.IndexFunc(items, func(t T) bool { return key(t) == p.Cursor })
		if i < 0 {
			return nil, "", api.Errorf(api.KeyMissing, "the list has no %q any more: start it again", p.Cursor)
		}
		items = items[i+1:]
	}
	if len(items) <= limit {
		return items, "", nil
	}
	return items[:limit], key(items[limit-1]), nil
}

// stamped is the metadata of an order.
func stamped(stamp api.Stamp, switchID string) wire.Meta {
	return wire.Meta{{Key: api.MetaStamp, Value: stamp.String()}, {Key: api.MetaSwitchID, Value: switchID}}
}

// unixTime is a row's time for people.
func unixTime(nanos int64) time.Time { return time.Unix(0, nanos).UTC() }
