package chaos

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/transport/wire"
)

// patience is how long a plain client waits for an answer: longer than any pause,
// so that a leader that goes on finds the question in its socket.
const patience = 15 * time.Second

// patientReaders are how many plain clients ask each keeper all the time.
const patientReaders = 4

// plainGet reads a register by op 0 (seed 001) from one keeper, as a client does
// that knows no redirect, on a connection of its own.
func (c *client) plainGet(ctx context.Context, addr, key string) check.Op {
	op := check.Op{Kind: check.Read, Key: check.SectionKey(registerID, key), Node: addr}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	op.Call = c.run.Timeline.Since()
	answer, err := plainQuery(ctx, addr, registerID, key)
	op.Return = c.run.Timeline.Since()
	if err == nil {
		op.Found, op.GotValue = answer.found, string(answer.data)
	}
	return c.record(op, err)
}

type plainAnswer struct {
	found bool
	data  []byte
}

// notExisted is the message of an op-0 answer that there is no such section.
const notExisted = "not existed"

func plainQuery(ctx context.Context, addr, id, section string) (plainAnswer, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return plainAnswer{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // ends the read below
	query := wire.QueryRequest{ID: []byte(id), Section: []byte(section)}
	request := wire.AgentRequest{Cmd: []byte("query"), Payload: query.Append(nil)}
	frame, err := wire.AppendFrame(nil, wire.OpAgent, wire.Mask{1, 2, 3, 4}, request.Append(nil))
	if err != nil {
		return plainAnswer{}, err
	}
	if _, err := conn.Write(frame); err != nil {
		return plainAnswer{}, err
	}
	_, body, err := wire.ReadFrame(conn, nil)
	if err != nil {
		return plainAnswer{}, err
	}
	response, err := wire.DecodeAgentResponse(body)
	switch {
	case err != nil:
		return plainAnswer{}, err
	case response.Code != 0 && string(response.Msg) == notExisted:
		return plainAnswer{}, nil
	case response.Code != 0:
		return plainAnswer{}, fmt.Errorf("code %d: %s", response.Code, response.Msg)
	}
	answer, err := wire.DecodeQueryResponse(response.Payload)
	return plainAnswer{true, answer.Data}, err
}

// playPausedReads stops the leader while plain clients ask every keeper: on
// resume it finds questions in its sockets, and another leads by then.
func (r *Run) playPausedReads(ctx context.Context, pauses int, p pace) error {
	registers := newRegisters()
	w, err := r.startWorkload(ctx, registerClients, registerPause, registers.step)
	if err != nil {
		return err
	}
	defer w.stop()
	readers, err := r.startWorkload(ctx, patientReaders*r.Nodes, registerPause, func(ctx context.Context, c *client) {
		key, _, _ := registers.next(c.rand.IntN(activeKeys))
		c.plainGet(ctx, r.Quorum.addrs()[c.number%r.Nodes], key)
	})
	if err != nil {
		return err
	}
	defer readers.stop()
	if err := r.disturb(ctx, slices.Repeat([]nemesis{paused("leader paused", theLeader)}, pauses), p); err != nil {
		return err
	}
	wait(ctx, p.off)
	readers.stop()
	return r.settle(ctx, w)
}
