// Package fleet starts real processes for tests and for the demo: zerokeepers, zeroproxies, zeroagents, MariaDB servers and
// anything else with a command line, all on loopback and all in one temporary directory.
//
// What holds, whatever happens to the program that uses it:
//
//   - Nothing is left behind. Close stops every process in the reverse order of its start and removes the directory. When
//     the program dies without Close (a panic, SIGINT, SIGKILL, a test timeout) the kernel kills the children
//     (PR_SET_PDEATHSIG) and a janitor process, which notices the death by the end of a pipe, kills what is left of their
//     process groups and removes the directory.
//   - A port is handed out once. Ports lie outside the kernel's ephemeral range, so that no outgoing connection takes one
//     while its owner is being restarted, and are claimed against other fleets of the machine until Close.
//   - Every wait has a bound and watches the process that it waits for: a child that dies on the way to readiness is an
//     error at once, with the end of its log.
//   - A process that ends without having been told to is remembered, and Close reports it.
//
// KEEP=1 in the environment keeps the directory (data, logs) after Close, KEEP=0 removes it also after a failure. The
// package runs on Linux only.
package fleet
