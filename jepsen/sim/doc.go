// Package sim is scenario G17: groups of keepers, simulated. Real raft, our own
// state machine and our own cluster.Node run in a bubble of testing/synctest,
// where time is fake and passes as soon as every goroutine waits; the network
// and the disks are in memory and do what a nemesis tells them.
//
// # What a run is
//
// A seed gives 3 or 5 nodes, the thresholds of their snapshots, a schedule of
// faults, and what the clients draw. Clients write sections and publish
// configurations (compare and set) within sessions, ask again wherever a leader
// is when an outcome is unknown, and read linearizably at nodes that claim to
// lead. The leader of each term moves switches step by step with
// Node.ProposeInTerm. Then the chaos ends, and all must be well within ten
// seconds.
//
// A run is not reproducible to the bit: raft seeds its timers from crypto/rand,
// and goroutines run in any order. The schedule is the seed's alone; what came
// of it stands in the report's trace.
//
// # What is checked
//
//   - I1: every register is linearizable (porcupine).
//   - I2: what was acknowledged is on every node in the end.
//   - I3: all nodes apply the same entries, with the same answers and states.
//   - I8: switches go forward only, one at a time, and end.
//   - I10: a command happens once, however often it is asked for, with one answer.
//   - I12: writes are done again within ten seconds of the end of the chaos,
//     and all nodes agree.
//   - TERM: one node acts as the leader of a term, and nothing of an older term.
//   - OUTCOME: what a client was told never happens, does not.
//   - OPEN, FATAL, STOP, LEAK: nodes start, go on and stop, and leave nothing.
package sim
