// Package ctl is zeroctl: the command tree with which operators drive a
// cluster. Each group of commands is a file; Main runs the tree.
//
// # What it speaks
//
// Requests of package api (operator.go there), over the interface Keepers. The
// commands know nothing of frames, redirects or sessions; ClientKeepers adapts
// package transport's client. Everything that changes something goes through
// Keepers.Write and happens once, however often it had to be sent.
//
// # What it prints
//
// Answers go to the standard output, everything else to stderr. With -o table
// (the default) they are for people: aligned, coloured on a terminal only, and
// free of whatever a terminal would obey. With -o json they are one object,
// also when something failed: then it has the member
//
//	"error": {"code": 2004, "message": "…", "exit": 4}
//
// code being the code of the answer (package api).
//
// # Exit codes
//
// 0 ok, 1 failed, 2 no keeper reachable, 3 bad input, 4 refused, 5 unhealthy,
// 64 usage. exit.go has the one table; every code of an answer is in it, and a
// test holds it total.
//
// # Invariants
//
//   - A request has a deadline (--timeout), a wait a bound (--wait).
//   - A file is written whole or not at all.
//   - Nothing the keepers send can move the cursor of the operator's terminal.
//   - No secret is printed; passwords are given by reference.
package ctl
