// Package gate is the writability gate of one host group: it decides which statements may go to the
// writable datasource now, counts what is in flight, and keeps the rest waiting, in order, during a switch.
//
// The gate does no I/O and knows no MySQL. A session takes a [Ticket] before it sends anything that may write
// or that starts a transaction, and gives it back when the result has been relayed, or when the server has
// said that no transaction is open. The link to the keepers drives the gate: Hold, Drain, SetPrimary, Open.
//
// Invariants:
//
//   - A gate starts held and with no primary (rule R11 of the switch's safety rules).
//   - "The gate is open" is read and "one more in flight" is counted in one critical section (R12a), so when
//     Drain returns nil, nothing was in flight and nothing could enter at that moment.
//   - Whoever waits is admitted in the order of arrival, before anyone who comes later, and in one critical
//     section with the opening itself.
//   - A gate is open until its lease ends, and not a moment longer (R10, R12): then nobody enters, tickets are not
//     valid, and whoever has something in flight is told (R12d). A new lease of the same primary makes tickets valid
//     again; another primary never does.
//   - Waiting is bounded three ways: by time, by the number of those who wait, and by the bytes they keep in
//     memory.
//   - A ticket is bound to the primary that it was issued for. Once the gate names another primary, the ticket
//     is no longer valid: nothing more may be sent under it and no OK may be relayed (R12b, R12c).
//
// Built with the tag "nohold" the gate does not hold: a negative control for the tests that claim to detect
// the damage of a switch without holding. See DESIGN.md.
package gate
