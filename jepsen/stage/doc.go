// Package stage sets the scene that the demo and the end-to-end tests play in:
// keepers, proxies, a MariaDB primary with replicas and an agent beside each,
// one host group with an application account, all as real processes (package
// fleet).
package stage
