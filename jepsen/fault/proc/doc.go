// Package proc breaks one running process: it kills it, stops it, and takes from it processor time, memory, file
// descriptors and disk bandwidth. It implements fault.Proc.
//
// # Invariants
//
//   - Only the process that New was given is touched, by a pidfd: not one that gets its number later.
//   - A limit is a control group (v1 or v2) of its own below the one that the process lives in, so that what the machine
//     had laid on the process stays on it. All its threads, and the children it starts from then on, are in it.
//   - Groups are named zero-chaos-<pid of the driver>-<n>. Release and Close move what is in them back and remove them;
//     Sweep removes those of drivers that died before they could.
//   - What the machine cannot limit is fault.ErrUnsupported.
//   - That a limit did something can be counted: Throttled, OOMKills.
package proc
