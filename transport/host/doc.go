// Package host reads how busy the machine is, for heartbeats: load averages,
// memory and CPU as the kernel tells them under /proc.
package host
