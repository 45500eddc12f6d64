// Package durable writes small files so that, after a crash at any moment, the
// file holds either what it held before or all of what was written: a temporary
// file beside it, fsync, rename, fsync of the directory.
package durable
