// Package chaos breaks a quorum of real zerokeepers on purpose and judges what
// its clients saw. A scenario is a workload, a schedule of faults and the
// invariants that must hold; the program jepsen/zerojepsen runs them.
//
// # Invariants
//
//   - One seed makes one schedule: which faults, in which order, for how long
//     and which draw of victims. What only exists at run time (who leads) is
//     resolved then and written to the timeline.
//   - A run is green only if it could have been red: every kind of fault must
//     show that it did something, else the run is void. A checker that could not
//     decide, and an outcome that could not be resolved, are failures.
//   - Nothing stays behind. What a failed run leaves for people (history, logs,
//     data directories, timeline, the checker's picture) is copied to one
//     directory, whose name is printed.
//   - A control is a run with a keeper that was broken on purpose. It is green
//     only when the checkers name the invariant that it breaks.
package chaos
