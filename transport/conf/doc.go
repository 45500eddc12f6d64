// Package conf is the fleet configuration: its YAML schema, its validation and
// the pure rules around it (versions, remapping of the writable datasource,
// secrets, diffs).
//
// One YAML document configures one cluster. It has the shape of the original
// zeroDB file:
//
//	basic:        name of the cluster and defaults
//	stop_service: when a proxy takes itself out of service (optional)
//	switch:       rules and times of the datasource switch (optional)
//	host_groups:  list of host groups and their datasources
//	users:        list of the users that clients log in with (ours)
//
// Every key, with its kind, default and range, is in the table that [Schema]
// returns; testdata/example.yaml uses all of them. host_group_clusters and
// schema_configs of the original are refused by name: zero does not shard.
//
// # Notation
//
//   - A duration is an integer (seconds, as in the original) or a Go duration
//     in text (250ms, 1m30s).
//   - write and read are comma lists in text, or YAML lists of text. The place
//     in write is the datasource's index.
//   - A password is a reference, ${file:/absolute/path} or ${env:NAME}. It is
//     checked for form only and resolved, by [ResolveSecret], on the host that
//     needs it. A literal is refused unless [Options].Dev is set.
//
// # Invariants
//
//   - [Parse] is pure: no file, no environment, no clock. The same bytes give
//     the same result on every host.
//   - A document is checked whole: all errors are reported (at most
//     [MaxErrors]), in the order of the lines, each with line, column and path.
//   - Nothing is ignored: unknown keys, keys given twice, anchors, aliases,
//     tags, block text and second documents are errors.
//   - No message repeats a value that did not pass its own check, so that no
//     literal password, wherever a slip of indentation put it, reaches a log.
//   - Everything is bounded before it is allocated for: see limits.go. What
//     Parse accepts fits, as a PushConfig body, in one frame of 512 KiB.
//   - In a parsed [Config] every value is in its range and every default is
//     filled in; nothing there means "unlimited".
package conf
