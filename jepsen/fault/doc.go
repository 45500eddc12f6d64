// Package fault names what can be broken under a running quorum, and in which
// way: the network between its nodes, a process, a disk, a clock. The packages
// below it break them; the scenarios of jepsen/chaos see only these interfaces.
//
// # Invariants
//
//   - A fault can be counted: each breaker tells how often it did something to
//     somebody. A run whose faults did nothing is void, not green.
//   - Nothing is left behind: what a breaker makes (namespaces, mounts, loop
//     devices, control groups) ends with the process that made it, also when it
//     is killed. Enter puts the whole run into namespaces of its own for that.
//   - What cannot be done on this machine is ErrUnsupported at once, never a
//     fault that silently does not happen.
package fault
