// Package faultpoint names places in the programs at which a test can kill, stop
// or hold a process: before and after everything that a switch does.
//
// Without the build tag "faultpoint" Reach is empty. With it, and with
// ZERO_FAULTPOINT_DIR naming a directory D, Reach(name)
//
//   - appends the name as a line to D/reached;
//   - if D/arm/NAME exists, NAME being the name with "." for "/", does what stands
//     in it: "kill" and "stop" remove the file and send SIGKILL or SIGSTOP to the
//     process itself, "wait" creates D/at/NAME and waits until the file in arm
//     is gone, at most 30 s.
//
// The names are
//
//	keeper/STATE/before    the state of a switch was entered and is applied, nothing is done yet
//	keeper/STATE/after     what it asks for is done, the next state is not proposed yet
//	keeper/lead/over       a term has ended, and the keeper's duties have not noticed yet
//	agent/REQUEST/before   an order came in, nothing was looked at yet
//	agent/REQUEST/durable  what must survive is on the disk, nothing else is done yet
//	agent/REQUEST/after    it is done, the answer is not sent yet
//	proxy/REQUEST/before   as for agents
//	proxy/REQUEST/after
package faultpoint
