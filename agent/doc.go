// Package agent is zeroagent: it stands beside one database server and is the
// only one that makes it writable or read-only.
//
// # Invariants
//
//   - Stamps only rise (rule R8): an order or a grant with a lower stamp than the
//     highest seen is refused; a duplicate is obeyed again, harmlessly.
//   - Names beside positions (R24): an order names the server's address and
//     identity; one for another server is refused.
//   - The level decides (R14): read_only=0 holds exactly as long as the newest
//     grant names this server as the primary. Orders make it so earlier;
//     heartbeats make it so in the end.
//   - What an answer promises is on the disk before the answer (R16): the stamp,
//     the role, the generation that the candidate was prepared for.
//   - A change of the server's role is one at a time.
package agent
