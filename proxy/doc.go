// Package proxy is zeroproxy: it keeps the link to the keepers, obeys the orders
// of arrow 2, and tells the data plane (package proxy/mysql) what is live and
// what is writable.
//
// # Invariants
//
//   - A start is held (rule R11): the configuration on disk serves reads, writes
//     wait until a keeper says open.
//   - Stamps only rise (R8): an order or a grant with a lower stamp than the
//     highest seen of its host group is refused. Duplicates are answered again.
//   - Names beside positions (R24): an index is obeyed only if the datasource
//     there has the address that the keeper names.
//   - Stopped is answered only when nothing is in flight (R12a).
//   - What an answer promises is on the disk before the answer: the stamp, the
//     current and the previous datasource of the host group.
package proxy
