package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// AgentOps is what op 0 does (seed 001). The byte slices are only good until the
// method returns: keep copies. An error is answered with code 1 and its message.
type AgentOps interface {
	// Update stores data under the two keys. It returns when the write will survive.
	Update(ctx context.Context, id, section, data []byte) error
	// Query finds what was stored last; timestamp is unix seconds of its update.
	Query(ctx context.Context, id, section []byte) (timestamp int64, data []byte, found bool, err error)
}

// maxAgentMsg bounds the msg of an answer, in bytes.
const maxAgentMsg = 1024

// serveAgent answers op-0 frames, of which payload is the first, until the peer closes
// or sends what op 0 refuses: then the connection is closed without a reply.
func (s *Server) serveAgent(ctx context.Context, c *serverConn, in *bufio.Reader, payload []byte) {
	var reply agentReply
	for {
		if !s.setBusy(c, true) {
			return
		}
		frame, err := s.agentOp(ctx, payload, &reply)
		if err != nil {
			s.refuseFrame(c, err)
			return
		}
		if c.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)) != nil {
			return
		}
		if _, err := c.Write(frame); err != nil {
			return
		}
		if !s.setBusy(c, false) {
			return
		}
		if c.SetReadDeadline(time.Now().Add(s.cfg.FrameTimeout)) != nil {
			return
		}
		h, next, err := wire.ReadFrame(in, reusable(payload))
		if err == nil && h.Op != wire.OpAgent {
			err = fmt.Errorf("op %d on a connection of op 0", h.Op)
		}
		if err != nil {
			s.refuseFrame(c, err)
			return
		}
		payload = next
	}
}

// agentReply has the buffers of a connection's replies.
type agentReply struct{ payload, body, frame []byte }

// reusable is b emptied, or nothing if it is so large that an idle connection should
// not keep it.
func reusable(b []byte) []byte {
	if cap(b) > 64*1024 {
		return nil
	}
	return b[:0]
}

// agentOp does what one request asks and returns the frame of its reply. The error
// means that there is none, and that the connection is to be closed.
func (s *Server) agentOp(ctx context.Context, payload []byte, reply *agentReply) ([]byte, error) {
	q, err := wire.DecodeAgentRequest(payload)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.AgentTimeout)
	defer cancel()
	answer := wire.AgentResponse{Cmd: q.Cmd}
	switch string(q.Cmd) {
	case wire.CmdUpdate:
		u, err := wire.DecodeUpdateRequest(q.Payload)
		if err != nil {
			return nil, err
		}
		s.Counters.Updates.Add(1)
		if err := s.cfg.Agent.Update(ctx, u.ID, u.Section, u.Data); err != nil {
			s.fail(&answer, updateMsg(err))
		}
	case wire.CmdQuery:
		k, err := wire.DecodeQueryRequest(q.Payload)
		if err != nil {
			return nil, err
		}
		s.Counters.Queries.Add(1)
		var found wire.QueryResponse
		timestamp, data, ok, err := s.cfg.Agent.Query(ctx, k.ID, k.Section)
		switch {
		case err != nil:
			s.fail(&answer, agentMsg(err))
		case !ok:
			answer.Code, answer.Msg = wire.AgentFailed, []byte(wire.NotExisted)
		case len(data) > wire.MaxPayload-queryOverhead(q.Cmd):
			s.fail(&answer, fmt.Sprintf("the data has %d bytes, too large for a frame", len(data)))
		default:
			found = wire.QueryResponse{Timestamp: timestamp, Data: data}
		}
		reply.payload = found.Append(reusable(reply.payload))
		answer.Payload = reply.payload
	default:
		return nil, fmt.Errorf("%w %q", wire.ErrUnknownCmd, truncate(string(q.Cmd), 64))
	}
	reply.body = answer.Append(reusable(reply.body))
	reply.frame, err = wire.AppendFrame(reusable(reply.frame), wire.OpAgent, wire.RandomMask(), reply.body)
	return reply.frame, err
}

// queryOverhead is what the answer to a query has beside the data, in bytes.
func queryOverhead(cmd []byte) int { return 4 + len(cmd) + 4 + 4 + 4 + 8 + 4 }

func (s *Server) fail(answer *wire.AgentResponse, msg string) {
	s.Counters.AgentFailed.Add(1)
	answer.Code, answer.Msg = wire.AgentFailed, []byte(truncate(msg, maxAgentMsg))
}

// agentMsg is err for a client that knows no codes. What it must be able to tell apart
// has the fixed words of the table of codes.
func agentMsg(err error) string {
	code, msg := api.CodeOf(err)
	if code == api.NoLeader || code == api.OutcomeUnknown || msg == "" {
		return code.String()
	}
	return msg
}

// updateMsg is agentMsg for a write, of which a time that ran out says that it may
// have happened.
func updateMsg(err error) string {
	if code, _ := api.CodeOf(err); code == api.Deadline || code == api.Cancelled {
		return api.OutcomeUnknown.String()
	}
	return agentMsg(err)
}

func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// isHangup reports whether err is the peer's or our own end of a connection rather
// than something that it sent.
func isHangup(err error) bool {
	return err == io.EOF || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, os.ErrDeadlineExceeded)
}
