// Package transport carries zero's traffic: the port that several protocols share,
// the server of frames, and the client that finds the leader. What is on the wire is
// package wire's; what is said is package api's.
//
// # Port
//
// [Mux] looks at a connection's first bytes:
//
//	68 66    frames of seed 001, for a [Server]
//	16       TLS, if configured; within it the choice is made again, without TLS
//	ZRFT     Raft
//	ZBXD     Zabbix
//
// Who is served by none, or does not choose within 10 s of being accepted (TLS handshake
// included), is closed and counted.
//
// # Server
//
// The first frame of a connection says what it is for. It must be whole within 30 s
// of the accept.
//
//	op 0  updates and queries, one after the other, for [AgentOps]; each frame has 30 s
//	op 1  one frame, then the raw bytes of a relay, for a [TrafficHandler]
//	op 2  Hello, then an invoker; or raw bytes, for a Hello of type listen or target
//
// A frame that is bad, and an op or command that is not served, closes the connection
// without a reply (seed 001's rule). On op 2 a refused Hello is answered first: 100 when
// the first request is something else or malformed, else the [HelloHandler]'s code. Only the
// Hello of a command connection (metadata connection-type: command) means that the
// server may call back over it.
//
// # Client
//
// [Client.Call], [Client.Query] and [Session] differ in what they do with a request of which
// it is not known whether it happened: say so; repeat it; repeat it under the same
// session and seq. [Client.Run] is link mode, for programs that the keepers call back.
//
// # Invariants
//
//   - A request that may have happened is repeated only as a Query or within a Session.
//   - An error that is not api.ErrOutcomeUnknown means that a Call or Write did not happen,
//     or is the keepers' answer to it.
//   - At most 5 NotLeader answers are followed in one attempt, and no hint of a term
//     older than the newest one heard of.
//   - Every wait, queue and number of connections has a bound; a call ends with its ctx.
//   - Serve, Run, Shutdown and Close return after the goroutines they own.
package transport
