package wire

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// maxNames bounds the names of requests that are remembered per connection.
const maxNames = 64

// intern makes a name a string, allocating it once per connection.
func (inv *Invoker) intern(name []byte) string {
	if s, ok := inv.names[string(name)]; ok {
		return s
	}
	s := string(name)
	if len(inv.names) < maxNames {
		inv.names[s] = s
	}
	return s
}

// dispatch takes one message. It runs on the reader's goroutine and must not wait for
// anything. The error ends the connection.
func (inv *Invoker) dispatch(payload []byte) error {
	m, err := decodeMessage(payload, inv.intern)
	if err != nil {
		inv.cfg.Counters.Malformed.Add(1)
		inv.cfg.Logger.Debug("malformed message", "remote", inv.conn.RemoteAddr(), "error", err)
		switch m.Kind {
		case KindRequest:
			return inv.refuse(m.ID, api.Errorf(api.BadRequest, "%v", err))
		case KindOneWay:
			return nil
		}
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	switch m.Kind {
	case KindRequest:
		return inv.request(&m)
	case KindOneWay:
		inv.oneWayCall(&m)
	case KindResponse, KindPart:
		return inv.answered(&m)
	case KindCancel:
		inv.mu.Lock()
		cancel := inv.handling[m.ID]
		inv.mu.Unlock()
		if cancel != nil {
			cancel()
		}
	}
	return nil
}

// refuse answers without a handler.
func (inv *Invoker) refuse(id uint64, err *api.Error) error {
	m := Message{Kind: KindResponse, ID: id}
	if err != nil {
		m.Code, m.ErrMsg = err.Code, truncate(err.Msg, MaxErrMsg)
	}
	if _, err := inv.out.put(inv.base, &m, urgent, false); err != nil {
		return err
	}
	inv.out.signal()
	return nil
}

// budget is the time that a request has, from its metadata.
func (inv *Invoker) budget(meta Meta) (time.Duration, error) {
	ms, ok, err := meta.Uint(api.MetaDeadline)
	switch {
	case err != nil:
		return 0, err
	case !ok:
		return inv.cfg.CallTimeout, nil
	case ms > uint64(inv.cfg.MaxHandlerTime/time.Millisecond):
		return inv.cfg.MaxHandlerTime, nil
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// request starts the handler of a two-way request, or refuses it.
func (inv *Invoker) request(m *Message) error {
	if m.Name == Ping {
		return inv.refuse(m.ID, nil)
	}
	inv.cfg.Counters.Requests.Add(1)
	if m.ID == pingID {
		return inv.refuse(m.ID, api.Errorf(api.BadRequest, "id %d belongs to %s", m.ID, Ping))
	}
	budget, err := inv.budget(m.Meta)
	if err != nil {
		return inv.refuse(m.ID, api.Errorf(api.BadRequest, "%v", err))
	}
	inv.mu.Lock()
	if _, twice := inv.handling[m.ID]; twice {
		inv.mu.Unlock()
		return fmt.Errorf("%w: id %d is in flight already", ErrProtocol, m.ID)
	}
	if inv.draining != nil {
		inv.mu.Unlock()
		return inv.refuse(m.ID, api.Errorf(api.NotReady, "shutting down"))
	}
	if len(inv.handling) >= inv.cfg.MaxInFlight || inv.held.Load()+int64(len(m.Body)) > int64(inv.cfg.MaxHeld) {
		inv.mu.Unlock()
		inv.cfg.Counters.Busy.Add(1)
		return inv.refuse(m.ID, api.Errorf(api.Busy, "too many requests are in flight on this connection"))
	}
	ctx, cancel := context.WithTimeout(inv.base, budget)
	inv.handling[m.ID] = cancel
	inv.mu.Unlock()
	inv.held.Add(int64(len(m.Body)))

	id, req := m.ID, &Request{Name: m.Name, Meta: m.Meta, Body: m.Body}
	inv.handlers.Go(func() {
		defer cancel()
		size := int64(len(req.Body))
		resp, err := inv.handle(ctx, req)
		inv.held.Add(-size)
		inv.answer(ctx, id, resp, err)
	})
	return nil
}

// oneWayCall queues a one-way call for the goroutine that handles them in order.
func (inv *Invoker) oneWayCall(m *Message) {
	inv.cfg.Counters.OneWays.Add(1)
	if inv.oneWay == nil {
		inv.oneWay = make(chan *Request, inv.cfg.MaxOneWay)
		inv.handlers.Go(inv.oneWayLoop)
	}
	if inv.held.Load()+int64(len(m.Body)) <= int64(inv.cfg.MaxHeld) {
		inv.held.Add(int64(len(m.Body)))
		select {
		case inv.oneWay <- &Request{Name: m.Name, Meta: m.Meta, Body: m.Body, OneWay: true}:
			return
		default:
			inv.held.Add(-int64(len(m.Body)))
		}
	}
	// Waiting would keep answers from being read, for which the handlers
	// of the queue may wait themselves.
	if inv.cfg.Counters.DroppedOneWays.Add(1) == 1 {
		inv.cfg.Logger.Warn("one-way calls come faster than they are handled; dropping some (logged once, counted always)",
			"remote", inv.conn.RemoteAddr(), "name", m.Name, "queue", inv.cfg.MaxOneWay)
	}
}

// oneWayLoop handles one-way calls in order until Serve closes the queue.
func (inv *Invoker) oneWayLoop() {
	for req := range inv.oneWay {
		inv.held.Add(-int64(len(req.Body)))
		if inv.base.Err() != nil {
			continue
		}
		err := inv.handleOneWay(req)
		switch code, msg := api.CodeOf(err); code {
		case api.OK:
		case api.UnknownRequest:
			inv.cfg.Counters.UnknownOneWays.Add(1)
		default:
			inv.cfg.Counters.FailedOneWays.Add(1)
			inv.cfg.Logger.Debug("one-way call failed", "remote", inv.conn.RemoteAddr(), "name", req.Name, "code", int32(code), "error", msg)
		}
	}
}

func (inv *Invoker) handleOneWay(req *Request) error {
	budget, err := inv.budget(req.Meta)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(inv.base, budget)
	defer cancel()
	_, err = inv.handle(ctx, req)
	return err
}

// handle runs the handler. A panic of one request is its own failure: the
// other connections of this process must not pay for it.
func (inv *Invoker) handle(ctx context.Context, req *Request) (resp *Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			inv.cfg.Counters.Panics.Add(1)
			inv.cfg.Logger.Error("handler panicked", "name", req.Name, "panic", p, "stack", string(debug.Stack()))
			resp, err = nil, api.Errorf(api.Common, "%s: internal error", req.Name)
		}
	}()
	return inv.cfg.Handler(ctx, req)
}
