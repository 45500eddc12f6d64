// Package clock moves the wall clock of single processes while they run. It implements fault.Clock.
//
// Build builds programs with a standard library whose time.Now adds an offset; a process that is started with Clock.Env
// reads the offset from a file that it shares with the Clock. Without that variable the program's clock is the machine's.
//
// # Invariants
//
//   - Nothing in the sources of zero knows of it, and every library in the program sees the moved clock.
//   - The monotonic clock, and with it timers, deadlines and time.Since of a reading of this run, is never touched.
//   - A program that cannot map the file panics at its first reading: it never runs on an unmoved clock unnoticed.
//   - A Go release whose time.Now looks different is refused by name, not built without the offset.
//
// # The file
//
//	offset 0, 8 bytes: int64 in the machine's byte order, nanoseconds to add to the wall clock; read and written atomically
package clock
