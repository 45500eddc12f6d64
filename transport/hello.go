package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// helloID is the id of the Hello. The invoker of the same connection counts its
// calls from 1 again: this one is answered by then.
const helloID = 1

// sendMessage writes one message as a frame with one write.
func sendMessage(conn net.Conn, m *wire.Message) error {
	payload, err := wire.AppendMessage(nil, m)
	if err != nil {
		return err
	}
	frame, err := wire.AppendFrame(nil, wire.OpInvoke, wire.RandomMask(), payload)
	if err != nil {
		return err
	}
	_, err = conn.Write(frame)
	return err
}

// receiveAnswer reads the answer to the Hello and not a byte more.
func receiveAnswer(conn net.Conn) (wire.Message, error) {
	h, payload, err := wire.ReadFrame(conn, nil)
	if err != nil {
		return wire.Message{}, err
	}
	m, err := wire.DecodeMessage(payload)
	switch {
	case err != nil:
		return wire.Message{}, err
	case h.Op != wire.OpInvoke || m.Kind != wire.KindResponse || m.ID != helloID || m.More:
		return wire.Message{}, fmt.Errorf("%w: op %d kind %d instead of the answer to Hello", wire.ErrProtocol, h.Op, m.Kind)
	}
	return m, nil
}

// sayHello introduces the caller on a fresh connection. The error is an
// *api.Error when the peer answered and refused.
func sayHello(conn net.Conn, hello api.HelloRequest, meta wire.Meta) (api.HelloAnswer, error) {
	var answer api.HelloAnswer
	hello.Version = api.ProtocolVersion
	body, err := json.Marshal(hello)
	if err != nil {
		return answer, err
	}
	if err := sendMessage(conn, &wire.Message{Kind: wire.KindRequest, ID: helloID, Name: api.Hello, Meta: meta, Body: body}); err != nil {
		return answer, err
	}
	m, err := receiveAnswer(conn)
	if err != nil {
		return answer, err
	}
	if err := api.ErrorOf(m.Code, m.ErrMsg, string(m.Data)); err != nil {
		return answer, err
	}
	if len(m.Data) > 0 {
		if err := json.Unmarshal(m.Data, &answer); err != nil {
			return answer, fmt.Errorf("%w: the answer to Hello: %w", wire.ErrProtocol, err)
		}
	}
	return answer, nil
}

// HelloHandler judges the first request of a connection. caller has what the Hello
// claims, with Auth empty; the handler proves it by req's token or caller.TLS and returns
// who it really is. An error refuses the connection: it is answered and closed.
// The Data of the answer is an [api.HelloAnswer] in JSON.
type HelloHandler func(ctx context.Context, caller wire.Principal, req *wire.Request) (wire.Principal, *wire.Response, error)

// greet takes the first message of a connection and answers it. ok means that it was a
// Hello that was accepted; otherwise the connection is to be closed.
func (s *Server) greet(ctx context.Context, conn net.Conn, payload []byte) (p wire.Principal, ok bool) {
	m, err := wire.DecodeMessage(payload)
	if m.Kind != wire.KindRequest {
		return p, false // there is no one to answer
	}
	var resp *wire.Response
	if err != nil {
		err = api.Errorf(api.BadRequest, "%v", err)
	} else {
		p, resp, err = s.judge(ctx, conn, &m)
	}
	answer := wire.Message{Kind: wire.KindResponse, ID: m.ID}
	if resp != nil {
		answer.Data, answer.Meta = resp.Data, resp.Meta
	}
	if err != nil {
		answer.Code, answer.ErrMsg = api.CodeOf(err)
		if e, ok := errors.AsType[*api.Error](err); ok && e.Data != "" {
			answer.Data = []byte(e.Data)
		}
		s.Counters.HelloRefused.Add(1)
		s.cfg.Logger.Debug("refused a connection", "remote", conn.RemoteAddr(), "error", err)
	}
	if sendErr := s.reply(conn, &answer); sendErr != nil {
		return p, false
	}
	if err != nil {
		linger(conn)
	}
	return p, err == nil
}

func (s *Server) reply(conn net.Conn, m *wire.Message) error {
	if err := conn.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)); err != nil {
		return err
	}
	return sendMessage(conn, m)
}

// judge checks what every Hello must have and asks the handler.
func (s *Server) judge(ctx context.Context, conn net.Conn, m *wire.Message) (p wire.Principal, resp *wire.Response, err error) {
	if m.Name != api.Hello {
		return p, nil, api.Errorf(api.BadRequest, "the first request of a connection must be %s, not %q", api.Hello, m.Name)
	}
	var hello api.HelloRequest
	if err := json.Unmarshal(m.Body, &hello); err != nil {
		return p, nil, api.Errorf(api.BadRequest, "Hello: the body is not its JSON object: %v", err)
	}
	if hello.Version < 1 || hello.Version > api.ProtocolVersion {
		return p, nil, api.Errorf(api.BadRequest, "Hello: version %d is not spoken here, 1 to %d are", hello.Version, api.ProtocolVersion)
	}
	p = wire.Principal{
		Role: hello.Role, ID: hello.ID, ConnectionType: m.Meta.Get(api.MetaConnectionType),
		Hello: hello, Remote: conn.RemoteAddr(), TLS: TLSState(conn),
	}
	switch p.ConnectionType {
	case "", wire.ConnectionCommand:
	case wire.ConnectionListen, wire.ConnectionTarget:
		if s.cfg.Stream == nil {
			return p, nil, api.Errorf(api.BadRequest, "Hello: connections of type %s are not served here", p.ConnectionType)
		}
	default:
		return p, nil, api.Errorf(api.BadRequest, "Hello: unknown connection type %q", p.ConnectionType)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.FrameTimeout)
	defer cancel()
	return s.cfg.Hello(ctx, p, &wire.Request{Name: m.Name, Meta: m.Meta, Body: m.Body})
}

// Bounds of linger.
const (
	lingerTime  = time.Second
	lingerBytes = 64 * 1024
)

// linger ends a connection so that the answer written last arrives: closing with unread
// bytes would send a reset, which destroys it. It waits for the peer's end, for a
// second and 64 KiB at most.
func linger(conn net.Conn) {
	if closeWrite(conn) != nil || conn.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, conn, lingerBytes); err != nil {
		return // the peer's end, or its time is over: both end the wait
	}
}
