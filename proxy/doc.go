// Package proxy is zeroproxy: it keeps the link to the keepers, obeys the orders
// of arrow 2, and tells the data plane (package proxy/mysql) what is live and
// what is writable.
//
// # Invariants
//
//   - A start is held (rule R11): the configuration on disk serves reads, writes
//     wait until a keeper says open.
//   - A group is open only as long as the lease lasts that the last answer which
//     said so granted, from the sending of its heartbeat (R10).
//   - Only a proxy that the keepers count writes: one that is not on their list,
//     or was told to leave it, is held (R5).
//   - Stamps only rise (R8): an order or a grant with a lower stamp than the
//     highest seen of its host group is refused. Duplicates are answered again.
//   - Names, not positions (R24): an order is obeyed only if the index in it names
//     the same server here; a grant is obeyed by name.
//   - Stopped, and unregistered, are answered only when nothing is in flight
//     (R12a).
//   - What an answer promises is on the disk before the answer: the generation,
//     the current and the previous datasource of the host group, the
//     configuration. Holding needs no promise, and never waits for the disk.
//   - A configuration is applied whole or not at all.
package proxy
