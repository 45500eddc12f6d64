// Package settings gives a program its flags, from one table: each row is a
// command-line flag, an environment variable and a key of a YAML file.
//
//	row "raft-heartbeat"  →  --raft-heartbeat  ZERO_RAFT_HEARTBEAT  raft-heartbeat:
//
// # Invariants
//
//   - A flag wins over the environment, which wins over the file, which wins
//     over the default. Exactly one of them decides; lists are never merged.
//   - An environment variable that is set to nothing is not set.
//   - The file is read whole or refused whole: every unknown, repeated or
//     unreadable key is reported with its line.
//   - Help, the example file and the reference are printed from the table, so
//     none of them can differ from what the program takes.
//   - A secret's value is never printed.
package settings
