// Package keeper is what a keeper does for the fleet: it answers the arrows of
// seed 000, keeps watch over proxies and agents, hands out configurations, and
// drives the switches of datasources.
//
// # Who does what
//
// Every keeper answers; only the leader decides. A request that needs the
// leader is answered NotLeader by a follower, with the leader's address. What
// the leader decides is proposed to the state machine (package fsm) before it
// is acted on (rule R6), with the term that it was decided in (R7).
//
// The leader's duties (lead.go) start when a term's barrier was applied and end
// with the term: nothing of an older term acts on.
//
// # Invariants
//
//   - Nothing about the fleet is remembered here that must survive. When a
//     heartbeat last came, and over which connection a proxy is reached, is
//     the leader's own knowledge and starts afresh with each term.
//   - Every order of arrows 2 and 3 that changes something carries the switch
//     id and the stamp (R8).
//   - A timeout is unknown, not failed (R9): after one the state machine, the
//     proxy or the agent is asked again.
//   - A lease is granted only on a proof of leadership that began after the
//     heartbeat came in (R1), and recorded before the answer goes out. The commit
//     point of a switch is passed only when every proxy stopped or has no lease, and
//     the old primary is fenced or its agent has none (R2).
package keeper
