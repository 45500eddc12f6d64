// Package wire speaks zero's wire: the frames of seed 001, the bodies of its
// ops 0 and 1, zero's own op 2, and the invokers of seed 002 on top of op 2.
//
// # Frame (seed 001, 通讯)
//
// Every integer is little-endian. Binary is a u32 length and that many bytes.
//
//	offset  size  field
//	0       2     fixed, 0x6668: the bytes 68 66
//	2       1     checkSum, the XOR of the unmasked payload's bytes; 0 when empty
//	3       1     version, written as 1; 0 and 1 are read, above is refused
//	4       1     op: 0 agent, 1 traffic proxy, 2 invoke
//	5       4     mask
//	9       4     payloadLen, at most 524288 (512 KiB)
//	13      n     payload, wire[i] = plain[i] XOR mask[i mod 4]; the header is not masked
//
// The mask hides nothing: any value is legal, and it is random here. Where the
// original's commits differ from the seed's text (big-endian integers, u64
// lengths) the text holds.
//
// # Op 0, agent (seed 001, 信息存储和查询)
//
//	request   Binary cmd | i32 version | Binary payload
//	response  Binary cmd | i32 code (0 success, 1 failed) | Binary msg | Binary payload
//
//	cmd     request payload                          response payload
//	update  Binary id | Binary section | Binary data  nothing
//	query   Binary id | Binary section                i64 timestamp (unix seconds) | Binary data
//
// The request's version is not looked at, as in the original. A query that
// finds nothing is answered with code 1, msg "not existed" and a payload of
// timestamp 0 and empty data. Bytes after the last field are ignored.
//
// # Op 1, traffic proxy (seed 001, 聚合流量代理)
//
//	i32 operation (0, TrafficProxyDataOp) | Binary proxyServiceName | Binary field | Binary token
//
// There is no answer: what follows the frame is the relayed stream.
//
// # Op 2, invoke (zero's own)
//
//	u8 kind | u8 flags | u64 id | rest
//
//	kind        rest
//	1 request   Binary name | meta | Binary body
//	2 one-way   as request; there is no answer
//	3 response  i32 code | Binary data | Binary errMsg | meta
//	4 cancel    nothing: the caller of request id no longer waits
//	5 part      Binary data, which continues the data of response id
//
//	meta is u16 n, then n times (Binary key, Binary value)
//
// Flag 1 (more parts follow) is legal on a response and on a part. A response
// with it is followed by parts of the same id, the last of which lacks it; the
// answer's data is all of theirs in order, 64 MiB at most. A second response
// with a code other than 0 ends an unfinished answer in its stead.
//
// Ids are chosen by the caller, per direction, and are not used twice while in
// flight. Nothing may follow the last field, no other flag may be set, keys are
// not empty and come once: what is to be added travels as metadata. Limits: a
// name has 1–128 bytes, meta at most 32 pairs, a key 64 bytes, a value 4 KiB,
// errMsg 8 KiB.
//
// A frame that is whole and carries a message that is not well-formed gets an
// answer 100 when it was a request with a readable id; a one-way is dropped and
// counted; all else closes the connection. The request name "Ping" and id 0 belong
// to the [Invoker] itself: it asks an idle peer whether it is there, and answers
// such a question, whatever its handler.
//
// # Invariants
//
//   - Nothing is allocated for a length that the wire merely claims: payloads grow as
//     bytes arrive, every count and size has a limit that is checked first.
//   - One-way calls of one connection are handled in the order in which they were sent.
//   - A Call whose bytes did not all reach the kernel fails with [ErrNotSent] and may be
//     repeated; any other Call that lost its connection fails with [api.ErrOutcomeUnknown].
//   - [Invoker.Serve] returns after every goroutine and handler of the connection did.
package wire
