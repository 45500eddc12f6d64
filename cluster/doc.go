// Package cluster is the Raft node of a keeper: storage, proposing, reading,
// membership, leadership and health. It knows nothing of what the commands
// mean; the state machine is package fsm, the leader's duties towards the fleet
// are package keeper's.
//
// # Invariants
//
//   - A proposal ends in one of three ways: done (its Result), definitely not
//     done (NotLeader, NoLeader, Busy, TooLarge, NotReady), or OutcomeUnknown.
//     Whatever raft cannot tell is unknown, never failed.
//   - A linearizable read is served only after an entry that was proposed after
//     the read came in was committed and applied here. VerifyLeader is not used:
//     it can count an answer that is older than the question. There is no way
//     from a failed proof to a local read.
//   - Every error of the log or stable store ends the node ([Node.Fatal]), as
//     does an entry that the state machine cannot apply. A node that ended
//     answers nothing.
//   - A data directory is one member for ever: its random id stands in
//     identity.json, and a directory that lost its log, or belongs to another
//     cluster, is refused. A connection names the member that it is meant for,
//     so that a keeper with a new directory never answers for the old one.
//   - All that is done on behalf of a leader carries the term it leads in.
//
// # The preamble of a Raft connection
//
// A machine port is shared by several protocols; the first bytes choose. A Raft
// connection opens with
//
//	"ZRFT" | u8 version (2) | five times u8 n (at most 64) | n bytes:
//	cluster id, sender's member id, member id of the addressee,
//	sender's incarnation, incarnation of the addressee as far as the sender knows
//
// where the cluster id is empty while the sender does not know it, as is the
// last, and the acceptor answers one byte: 0 accepted, 1 another cluster, 2 not
// the addressee, 3 another version, 4 not a member, 5 the acceptor's directory is
// an older copy, 6 the sender's is (u8 n | incarnation that is known of it
// follows). After 0 hashicorp/raft's NetworkTransport speaks; after another number
// the acceptor closes. The preamble must be there within five seconds.
//
// # The data directory
//
//	identity.json   who this directory is (written by rename, file and directory synced; checksum)
//	raft.db         log, term and vote (bbolt; its lock is the directory's lock)
//	refused.json    only in a directory that must not be started again
//	snapshots/      the newest three snapshots (raft's FileSnapshotStore, package fsm's format)
//	reserve         space that is given up on a full disk
//
// # Checksums in raft.db
//
// Numbers are big-endian. An entry is raft-boltdb's record of a raft.Log whose
// Extensions end with
//
//	"ZLC1" | u32 CRC-32C of: u64 index | u64 term | u8 type | u64 length of data | data | extensions before the tag
//
// The record with the key 2^64-1 is the ledger. It is written with every change,
// in the same transaction; its data is
//
//	"ZLEDGER1" | field member id | u64 first entry | u64 last entry |
//	u16 n | n × (field key, field value) | u32 CRC-32C of all before
//
// where a field is a u16 length and bytes, and the pairs, in the order of their
// keys, are raft's stable store (term and vote). Entries outside of first to last
// are left over from a crash. There is nothing in bbolt's bucket "conf".
//
// # The end of a snapshot
//
// Behind package fsm's snapshot, state.bin ends with
//
//	"ZSNAPEND" | SHA-256 of: u64 version | u64 index | u64 term | u64 configuration index | configuration (raft's msgpack)
//
// which binds it to its meta.json. It is not sent to other keepers.
package cluster
