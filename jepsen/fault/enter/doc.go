// Package enter puts a whole run into network and mount namespaces of its own, so that whatever it breaks it breaks for
// itself, and whatever it leaves goes with its last process.
//
// A program calls Enter first thing in main, a test in TestMain. The first time it starts the same program again inside new
// namespaces, and waits: that outer process never returns from Enter. Inside, Enter returns the tier that was reached.
//
//	outer: Enter ── starts ──▶ inner: Enter returns TierA or TierB, main goes on
//	       forwards INT, TERM, HUP, QUIT      its own network (lo is up) and its own mounts
//	       exits with the inner's code
//
// # Invariants
//
//   - The outer and the inner process end together: the kernel kills the inner when the outer dies (PR_SET_PDEATHSIG), and
//     the outer waits for nothing else than the inner's end.
//   - No mount that is made inside is seen outside. Mounts and interfaces end with the last process that lives inside,
//     however it ends.
//   - A lower tier than was asked for is an error, never a weaker run that looks like a strong one.
//
// The package runs on Linux only.
package enter
