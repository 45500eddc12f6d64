// Package agent is zeroagent: it stands beside one database server and is the
// only one that makes it writable or read-only.
//
// # Invariants
//
//   - Stamps only rise (rule R8): an order or a grant with a lower stamp than the
//     highest seen is refused; a duplicate is obeyed again, harmlessly.
//   - Names beside positions (R24): an order names the host group, the server's
//     address and its identity; one for another is refused.
//   - Only a lease makes the server writable (R14): read_only=0 while a lease is held
//     whose newest grant names it as the primary, and it either has no source or was
//     prepared for the commit that made it so. Before a lease ends the server is
//     read-only, or killed (R15). An agent that starts has no lease, unless it takes up
//     the one of the process before; it speaks when its server is read-only.
//   - Orders make the server what a switch needs earlier; the level makes it what the
//     newest grant says in the end.
//   - What an answer promises is on the disk before the answer, and before the
//     server is touched (R16): the generation, the role, the generation that the
//     candidate was prepared for.
//   - A change of the server's role is one at a time, and an order does not wait
//     for one that no order asked for.
//   - Without keepers a primary is writable only while the agents of all other members
//     of its durable replica set have promised, on their disks, to accept no promotion
//     (R18); what is lent to proxies ends with that. Whoever has promised is neither
//     prepared nor promoted, and whoever is prepared promises nothing (R13).
//   - Dead is said of a server whose process is confirmed gone, of no other.
//   - The end of a lease waits for nothing else that hangs on the server.
//   - Heartbeats wait neither for the server nor for a change of its role.
package agent
