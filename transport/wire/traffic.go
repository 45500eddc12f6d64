package wire

import "fmt"

// TrafficProxyDataOp is the only operation of op 1.
const TrafficProxyDataOp int32 = 0

// TrafficRequest is the frame with which a client of the traffic proxy begins
// its connection. Its slices are part of the payload.
type TrafficRequest struct {
	Operation int32
	Service   []byte // proxyServiceName
	Field     []byte
	Token     []byte // a secret: never log it
}

// Append appends the request's bytes to dst.
func (q *TrafficRequest) Append(dst []byte) []byte {
	dst = AppendInt32(dst, q.Operation)
	dst = AppendBinary(dst, q.Service)
	dst = AppendBinary(dst, q.Field)
	return AppendBinary(dst, q.Token)
}

// DecodeTrafficRequest reads a TrafficRequest; what follows it is ignored. The
// operation is not judged.
func DecodeTrafficRequest(payload []byte) (TrafficRequest, error) {
	r := Reader{rest: payload}
	q := TrafficRequest{Operation: r.Int32(), Service: r.Binary(), Field: r.Binary(), Token: r.Binary()}
	if r.err != nil {
		return TrafficRequest{}, fmt.Errorf("traffic request: %w", r.err)
	}
	return q, nil
}
