// Package mysql is what one agent does to its local database server: look at
// it, fence it, wait for a position, promote it, make it follow another.
//
// Invariants:
//
//   - Nothing here decides. The package knows no stamps, leases or roles; it
//     does what it is told, says what it found, and refuses what would lose data.
//   - Only Promote and Unfence make a server writable, while their Permit holds,
//     which is asked before and after (R14). Both give way to a SetReadOnly that
//     came in while they ran (ErrFencedMeanwhile).
//   - A session that waits for a semi-sync acknowledgement is never killed and
//     never released by a demotion: either would commit, and show, what no
//     replica has.
//   - AcknowledgeReceived acknowledges what the replica has received, checked in GTIDs, and
//     nothing else; not after StopReceiving.
//   - A relay log that was received and not applied is never thrown away while
//     the server may be promoted from it.
//   - A statement whose answer did not come is unknown, not failed
//     (ErrUnknown): ask State.
//   - Every operation can be repeated; done already is done.
//   - Every statement has a deadline, the connections are few, and no password
//     is logged or put into an error.
//
// The server is MariaDB 10.6 or later, with GTIDs in strict mode and one source
// at most. DESIGN.md has the SQL of each operation and why it is so.
package mysql
