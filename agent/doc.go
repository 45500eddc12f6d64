// Package agent is zeroagent: it stands beside one database server and is the
// only one that makes it writable or read-only.
//
// # Invariants
//
//   - Stamps only rise (rule R8): an order or a grant with a lower stamp than the
//     highest seen is refused; a duplicate is obeyed again, harmlessly.
//   - Names beside positions (R24): an order names the host group, the server's
//     address and its identity; one for another is refused.
//   - The level decides (R14): the server is made writable while the newest grant
//     names it as the primary and it either has no source or was prepared for the
//     commit that made it so; it is made read-only while the grant names another.
//     Orders make it so earlier; heartbeats make it so in the end.
//   - What an answer promises is on the disk before the answer, and before the
//     server is touched (R16): the generation, the role, the generation that the
//     candidate was prepared for.
//   - A change of the server's role is one at a time, and an order does not wait
//     for one that no order asked for.
//   - Heartbeats wait neither for the server nor for a change of its role.
package agent
