// Package fsm is zero's state machine: everything that must survive, changed
// only by commands that the keepers agreed on.
//
// # Invariants
//
//   - Pure: the same commands in the same order give the same state and the
//     same answers on every keeper. No clock, no I/O, no randomness, no map
//     order in anything encoded. Time, ids and random numbers come in the
//     command, stamped by the leader.
//   - Strict: a command of an unknown type, version or field, or with a wrong
//     checksum, halts the node (Apply returns an error). Ignoring it would make
//     this node differ from the others for ever. FlagIgnorable is the exception
//     that the proposer makes explicit.
//   - Once: a command that carries a client session and sequence is applied
//     once; a retry gets the remembered answer, also from another leader and
//     after a snapshot.
//   - Compare-and-set: what a switch decides names the state, generation and
//     term that it was decided on, and is refused if any differs (rule R7).
//
// # A log entry
//
//	u8 format (1) | u16 type | u8 version | u8 flags | u32 CRC-32C | rest
//
// little-endian; the checksum covers everything but itself. rest is the codec
// encoding of Header, then of the command's struct (package codec).
//
// # A snapshot
//
//	"ZEROSNAP" | u8 format (1) | u64 length of the body | body | u32 CRC-32C
//
// little-endian; the checksum covers magic, format, length and body. The body
// is the encoding of meta, then for each table in the order of their numbers:
// a row count and the rows in the order of their keys.
package fsm
