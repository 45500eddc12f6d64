// Package durable keeps the small files that a program must find again after a
// crash, and the directory that they are in.
//
//   - Write replaces a file so that, after a crash at any moment, it holds either
//     what it held before or all of what was written: a temporary file beside it,
//     fsync, rename, fsync of the directory.
//   - Lock makes a directory one process's own until that process ends, however
//     it ends.
package durable
