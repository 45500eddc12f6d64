// Package model checks the protocol of the datasource switch: it visits every state of it within small bounds and looks
// for one that breaks a safety property. It is an explicit-state model checker with the protocol written in Go, and the
// protocol that it holds is the one that keepers, proxies and agents must follow: rules R1 to R26 (Rules).
//
// The properties:
//
//   - S1a: no proxy can route a write to a server that is not the primary of the record.
//   - S1b: no server but that one is writable while its agent runs.
//   - S2/S3: the primary has every write whose OK a client was given, but for what policy "available" recorded as lost.
//   - S4: from any state, a run without further faults ends the switch, with one primary that all proxies write to.
//   - S5: no failsafe lease lives away from the primary of the record.
//
// A Scope bounds a search: how many proxies, servers, switches, writes and faults, how long a lease is, and which parts
// take part. AllGuards is the protocol as it must be built. A Mutant is the protocol without one Guard; each is caught in
// its scope, which is what says that the guard is needed and that the scopes can see what it is for.
//
// What is abstracted:
//
//   - The log is one linearizable Record. An election may happen between any two actions. The deposed leader goes on with
//     what it knew: without VerifyGrant it answers heartbeats, without Term it proposes steps.
//   - Orders (StopWriting, Fence, Prepare, …) may be delivered from the moment their step is committed, any number of times,
//     in any order, for ever, or never: loss, delay, duplication, reordering and stale senders at once.
//   - Answers to heartbeats carry time: one is under way per holder, lost when a newer one is sent, useless when its lease is
//     over. The sending and the receipt of a heartbeat are one moment; an earlier sending only shortens the lease.
//   - Answers to orders are facts once given: a leader, old or new, may use them at any later time.
//   - Time is discrete. A lease lasts Scope.Lease ticks from its sending on the slowest clock; a keeper waits at least as long
//     on the fastest. Nothing forces an actor to act, so each pause of a keeper or a proxy is included. Only live agents must
//     set read_only in time; they are paused and killed explicitly.
//   - A write goes check, send, binlog, OK, relayed, with any delay between. Logs are sets of writes.
//
// Not in the model, the rules that are not Modelled: restored keepers, identity of datasources, what bypasses read_only.
// Nor: degraded semi-sync, pools, statements that outlive their connection, more than one group.
//
// Invariants of the package: a search that is Complete left out no state but by collision of fingerprints (below 1 in
// 10,000 for 50 million states); a trace is a shortest one; the number of states in a scope does not depend on the workers.
package model
