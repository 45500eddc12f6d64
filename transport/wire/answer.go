package wire

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/zerokeeper/zero/transport/api"
)

// answer sends what a handler returned, in parts when it is large. ctx is the handler's.
func (inv *Invoker) answer(ctx context.Context, id uint64, resp *Response, err error) {
	m := responseOf(id, resp, err, inv.maxAnswer)
	if sendErr := inv.sendAnswer(ctx, &m); sendErr != nil {
		inv.release(id)
		inv.Stop(fmt.Errorf("answer: %w", sendErr))
	}
}

// responseOf makes the message of a handler's result, within all limits.
func responseOf(id uint64, resp *Response, err error, maxAnswer int) Message {
	m := Message{Kind: KindResponse, ID: id}
	if resp != nil {
		m.Data, m.Meta = resp.Data, resp.Meta
	}
	var msg string
	m.Code, msg = api.CodeOf(err)
	if e, ok := errors.AsType[*api.Error](err); ok && e.Data != "" {
		m.Data = []byte(e.Data)
	}
	if metaErr := m.Meta.check(); metaErr != nil {
		m.Meta, m.Data = nil, nil
		m.Code, msg = api.Common, "the handler's answer is not valid: "+metaErr.Error()
	}
	if len(m.Data) > maxAnswer {
		m.Code, msg = api.TooLarge, fmt.Sprintf("the answer has %d bytes, at most %d are allowed: ask for less", len(m.Data), maxAnswer)
		m.Data = nil
	}
	m.ErrMsg = truncate(msg, MaxErrMsg)
	return m
}

// sendAnswer puts m, or m and its parts, into the outbox and flushes. Between parts other
// messages have their turn. An answer whose request was cancelled or ran out of time
// on the way is cut short with that code.
func (inv *Invoker) sendAnswer(ctx context.Context, m *Message) error {
	rest := m.Data
	room := MaxPayload - responseHead - len(m.ErrMsg) - m.Meta.size()
	if len(rest) <= room {
		return inv.putAndFlush(m, true)
	}
	first := *m
	first.More, first.Data = true, rest[:room]
	if err := inv.putAndFlush(&first, false); err != nil {
		return err
	}
	rest = rest[room:]
	for len(rest) > 0 {
		if err := ctx.Err(); err != nil {
			code, msg := api.CodeOf(err)
			return inv.putAndFlush(&Message{Kind: KindResponse, ID: m.ID, Code: code, ErrMsg: "the answer was cut short: " + msg}, true)
		}
		n := min(len(rest), MaxPayload-partHead)
		part := Message{Kind: KindPart, ID: m.ID, More: n < len(rest), Data: rest[:n]}
		if err := inv.putAndFlush(&part, !part.More); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// putAndFlush writes on the handler's own goroutine: it has nothing else to do, and
// waking the writer would cost more than the write. While other requests of the
// connection are in flight it lets them go first, so that their answers share the write.
func (inv *Invoker) putAndFlush(m *Message, last bool) error {
	if _, err := inv.out.put(inv.base, m, patient, last); err != nil {
		return err
	}
	inv.mu.Lock()
	others := len(inv.handling) > 0
	inv.mu.Unlock()
	if others {
		runtime.Gosched()
	}
	return inv.out.flush()
}

// truncate cuts s to at most n bytes of valid UTF-8.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
