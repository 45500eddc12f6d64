package wire

import (
	"errors"
	"fmt"
)

// Commands of op 0.
const (
	CmdUpdate = "update"
	CmdQuery  = "query"
)

// Codes of op 0 (AgentCode of seed 001).
const (
	AgentSuccess int32 = 0
	AgentFailed  int32 = 1
)

// NotExisted is the msg of a query that found nothing.
const NotExisted = "not existed"

// ErrUnknownCmd: op 0 has no such command. The match is exact.
var ErrUnknownCmd = errors.New("unknown agent command")

// AgentRequest is AgentRequestFrame. Its slices are part of the payload.
type AgentRequest struct {
	Cmd     []byte
	Version int32 // not looked at, as in the original
	Payload []byte
}

// Append appends the request's bytes to dst.
func (q *AgentRequest) Append(dst []byte) []byte {
	dst = AppendBinary(dst, q.Cmd)
	dst = AppendInt32(dst, q.Version)
	return AppendBinary(dst, q.Payload)
}

// DecodeAgentRequest reads an AgentRequest; what follows it is ignored.
func DecodeAgentRequest(payload []byte) (AgentRequest, error) {
	r := Reader{rest: payload}
	q := AgentRequest{Cmd: r.Binary(), Version: r.Int32(), Payload: r.Binary()}
	if r.err != nil {
		return AgentRequest{}, fmt.Errorf("agent request: %w", r.err)
	}
	return q, nil
}

// AgentResponse is AgentResponseFrame. Its slices are part of the payload.
type AgentResponse struct {
	Cmd     []byte // the request's, echoed
	Code    int32  // AgentSuccess or AgentFailed
	Msg     []byte
	Payload []byte
}

// Append appends the response's bytes to dst.
func (a *AgentResponse) Append(dst []byte) []byte {
	dst = AppendBinary(dst, a.Cmd)
	dst = AppendInt32(dst, a.Code)
	dst = AppendBinary(dst, a.Msg)
	return AppendBinary(dst, a.Payload)
}

// DecodeAgentResponse reads an AgentResponse; what follows it is ignored.
func DecodeAgentResponse(payload []byte) (AgentResponse, error) {
	r := Reader{rest: payload}
	a := AgentResponse{Cmd: r.Binary(), Code: r.Int32(), Msg: r.Binary(), Payload: r.Binary()}
	if r.err != nil {
		return AgentResponse{}, fmt.Errorf("agent response: %w", r.err)
	}
	return a, nil
}

// UpdateRequest is the payload of an update: two keys and the data. Any of them
// may be empty, and all are arbitrary bytes. Its answer's payload is empty.
type UpdateRequest struct{ ID, Section, Data []byte }

// Append appends the payload's bytes to dst.
func (u *UpdateRequest) Append(dst []byte) []byte {
	dst = AppendBinary(dst, u.ID)
	dst = AppendBinary(dst, u.Section)
	return AppendBinary(dst, u.Data)
}

// DecodeUpdateRequest reads an UpdateRequest; what follows it is ignored.
func DecodeUpdateRequest(payload []byte) (UpdateRequest, error) {
	r := Reader{rest: payload}
	u := UpdateRequest{ID: r.Binary(), Section: r.Binary(), Data: r.Binary()}
	if r.err != nil {
		return UpdateRequest{}, fmt.Errorf("update: %w", r.err)
	}
	return u, nil
}

// QueryRequest is the payload of a query: the two keys.
type QueryRequest struct{ ID, Section []byte }

// Append appends the payload's bytes to dst.
func (q *QueryRequest) Append(dst []byte) []byte {
	return AppendBinary(AppendBinary(dst, q.ID), q.Section)
}

// DecodeQueryRequest reads a QueryRequest; what follows it is ignored.
func DecodeQueryRequest(payload []byte) (QueryRequest, error) {
	r := Reader{rest: payload}
	q := QueryRequest{ID: r.Binary(), Section: r.Binary()}
	if r.err != nil {
		return QueryRequest{}, fmt.Errorf("query: %w", r.err)
	}
	return q, nil
}

// QueryResponse is the payload of a query's answer; zero when nothing was found.
type QueryResponse struct {
	Timestamp int64 // unix seconds, set by the server at the update
	Data      []byte
}

// Append appends the payload's bytes to dst.
func (q *QueryResponse) Append(dst []byte) []byte {
	return AppendBinary(AppendInt64(dst, q.Timestamp), q.Data)
}

// DecodeQueryResponse reads a QueryResponse; what follows it is ignored.
func DecodeQueryResponse(payload []byte) (QueryResponse, error) {
	r := Reader{rest: payload}
	q := QueryResponse{Timestamp: r.Int64(), Data: r.Binary()}
	if r.err != nil {
		return QueryResponse{}, fmt.Errorf("query response: %w", r.err)
	}
	return q, nil
}
