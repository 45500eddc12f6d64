package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// opTimeout bounds one operation of a client; after it the outcome is unknown.
const opTimeout = 500 * time.Millisecond

// client is one sequential client of a workload. After an unknown outcome it
// goes on as another one, with a session of its own: it must not be taken for
// somebody who knows what came before.
type client struct {
	run     *Run
	rand    *rand.Rand
	number  int // of the client among its workload's
	id      int // of the process in the history; changes after an unknown outcome
	conn    *transport.Client
	session string
	seq     uint64
}

// newClient makes a client of the given machine ports.
func (r *Run) newClient(endpoints []string) (*client, error) {
	c := &client{run: r, rand: r.newRand()}
	var err error
	c.conn, err = transport.NewClient(transport.ClientConfig{
		Endpoints: endpoints, Hello: api.HelloRequest{Role: api.RoleClient, ID: "chaos"},
		Dial: r.dial, DialTimeout: opTimeout / 2, BackoffMax: 100 * time.Millisecond, GreyTime: 200 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	c.renew()
	return c, nil
}

// renew makes the client somebody else.
func (c *client) renew() {
	c.id = int(c.run.clients.Add(1))
	c.session, c.seq = fmt.Sprintf("%s-%d-%d", c.run.Scenario.Name, c.run.Seed, c.id), 0
}

// stamp is the metadata of the next write; all before it were answered.
func (c *client) stamp() wire.Meta {
	c.seq++
	return sessionMeta(c.session, c.seq, c.seq-1)
}

func sessionMeta(session string, seq, acked uint64) wire.Meta {
	return wire.Meta{
		{Key: api.MetaSession, Value: session},
		{Key: api.MetaSeq, Value: strconv.FormatUint(seq, 10)},
		{Key: api.MetaAcked, Value: strconv.FormatUint(acked, 10)},
	}
}

// write is one write with its place in the client's session.
type write struct {
	client *client
	op     check.Op
	meta   wire.Meta
	body   []byte
	err    error // that the request could not be made
}

// begin makes a write. A nil version is any.
func (c *client) begin(id, key, value string, version *uint64) *write {
	w := &write{client: c, op: check.Op{Kind: check.Write, Key: check.SectionKey(id, key), Value: value}}
	if version != nil {
		w.op.Kind, w.op.Version = check.CAS, *version
	}
	w.meta = c.stamp()
	w.op.Session, w.op.Seq = c.session, c.seq
	w.body, w.err = json.Marshal(api.SectionRequest{ID: []byte(id), Section: []byte(key), Data: []byte(value), Version: version})
	return w
}

// send sends the write, or sends it again, and records the attempt.
func (w *write) send(ctx context.Context) check.Op {
	op, err := w.op, w.err
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, opTimeout)
		defer cancel()
		op.Call = w.client.run.Timeline.Since()
		var resp *wire.Response
		resp, err = w.client.conn.Call(ctx, api.SectionPut, w.meta, w.body)
		op.Return = w.client.run.Timeline.Since()
		if err == nil {
			var answer api.SectionPutAnswer
			if bad := json.Unmarshal(resp.Data, &answer); bad != nil {
				w.client.run.Violation("%s was answered with %q: %v", op, resp.Data, bad)
			}
			op.GotVersion = answer.Version
		}
	}
	return w.client.record(op, err)
}

// put writes a section once: it is never sent again.
func (c *client) put(ctx context.Context, id, key, value string, version *uint64) check.Op {
	op := c.begin(id, key, value, version).send(ctx)
	if op.Outcome == check.Unknown {
		c.renew()
	}
	return op
}

// get reads a section, linearizably.
func (c *client) get(ctx context.Context, id, key string) check.Op {
	op := check.Op{Kind: check.Read, Key: check.SectionKey(id, key)}
	body, err := json.Marshal(api.SectionRequest{ID: []byte(id), Section: []byte(key)})
	if err != nil {
		return c.record(op, err)
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	op.Call = c.run.Timeline.Since()
	resp, err := c.conn.Call(ctx, api.SectionGet, nil, body)
	op.Return = c.run.Timeline.Since()
	switch {
	case errors.Is(err, api.ErrKeyMissing):
		err = nil
	case err == nil:
		var answer api.SectionAnswer
		if bad := json.Unmarshal(resp.Data, &answer); bad != nil {
			c.run.Violation("%s was answered with %q: %v", op, resp.Data, bad)
		}
		op.Found, op.GotValue, op.GotVersion = true, string(answer.Data), answer.Version
	}
	return c.record(op, err)
}

// record gives the operation its outcome and puts it into the history.
func (c *client) record(op check.Op, err error) check.Op {
	op.Client, op.Outcome = c.id, outcomeOf(err)
	if err != nil {
		op.Error = err.Error()
	}
	c.run.History.Add(op)
	return op
}

// outcomeOf sorts what a call returned. By the contract of package transport
// whatever is not said to be unknown was answered or surely did not happen.
func outcomeOf(err error) check.Outcome {
	switch {
	case err == nil:
		return check.OK
	case errors.Is(err, api.ErrConflict):
		return check.Refused
	case errors.Is(err, api.ErrOutcomeUnknown), errors.Is(err, &api.Error{Code: api.SessionGone}):
		return check.Unknown
	}
	return check.Failed
}

// transfer asks the leader to hand over to another keeper, whichever.
func (r *Run) transfer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	_, err := r.Quorum.peers.Call(ctx, api.LeaderTransfer, nil, []byte("{}"))
	return err
}
