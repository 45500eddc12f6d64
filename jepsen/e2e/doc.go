// Package e2e has the end-to-end tests: real zerokeepers, zeroproxies,
// zeroagents and zeroctl, real MariaDB servers, and clients that know nothing of
// zero (the mariadb command line, sysbench, a Python script). Everything is in
// its _test.go files; DESIGN.md says what each shows and what it costs.
//
// What holds:
//
//   - A test looks from outside: command lines, exit codes, what the wire and
//     the HTTP ports answer, logs, rows. It reads no process's memory.
//   - A test that disturbs a fleet puts it back as it was, and sees that it is
//     healthy, before the next one begins.
//   - A panic or a data race in any log of a fleet fails the test, whatever the
//     test was about.
//   - A test that fails shows the end of every log and keeps the directory.
package e2e
