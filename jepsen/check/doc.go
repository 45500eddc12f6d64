// Package check decides from what was recorded whether a run kept zero's promises.
//
// A run of a scenario leaves histories (what clients asked and were told, and when), the data directories of the keepers,
// and logs. Each checker here is a function of these to a [Verdict]. None of them talks to a process, reads a clock or
// draws a number; the same records give the same verdict.
//
//	promise                           checker
//	I1  linearizable                  Resolve, then Linearizable
//	I2  acknowledged is durable       Set, InLog
//	I3  keepers are the same          SameLog, SameState, SameStates
//	I9  leases, fencing tokens        Lease, Fencing
//	I10 once                          Counter
//	I12 alive again after a heal      Available, Recovery
//	I14 no crash                      LogScan
//	    sessions of one client        Monotonic
//	    enough was answered           Enough
//
// # Invariants
//
//   - A verdict is OK only when the checker looked at something and found nothing. What it could not decide (a timeout,
//     a missing file, a history too long, a log that does not reach back far enough) is Unknown, and Unknown is a failure.
//   - No false alarm: a problem is reported only if no behaviour that the promise allows explains the records. What is
//     observed over an interval may have been true at any moment of it.
//   - Data directories are only read. They must belong to keepers that are stopped.
//
// # A history on disk
//
// One operation per line, a JSON object:
//
//	{"client":3,"kind":"cas","key":"a/b","value":"v7","version":6,"call":1500000,"return":1900000,"outcome":"ok",
//	 "gotVersion":7,"session":"s3","seq":12}
//
// Times are nanoseconds since the run's start. Fields that are zero are left out; unknown ones are refused.
package check
