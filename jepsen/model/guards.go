package model

import (
	"fmt"
	"strings"
)

// Guard is one thing that the protocol does to be safe, and that a mutant does not do.
type Guard uint8

// The guards. The comment names the rule, see Rules.
const (
	VerifyGrant   Guard = iota // R1  a lease is granted only by a leader proven to lead after the heartbeat came in
	ElectionWait               // R2  a new leader counts a whole lease for every holder from its election
	OwnWait                    // R2  a leader counts a whole lease from its own last grant
	DriftMargin                // R3  the keeper's wait is at least the longest real length of a lease
	GroupGrant                 // R4  a grant says stamp, index and "held"; none to write while a switch holds the group
	UnregWait                  // R5  a proxy leaves the list only when its lease has ended
	LogFirst                   // R6  a step is committed in the log before a message of it is sent
	Term                       // R7  a step is applied only in the term of the leader that decided it
	CAS                        // R7  a step is applied only on the generation and step that it was decided on
	FreshGen                   // R8  a generation is allocated when a switch is requested and never used again
	StepOrder                  // R8  a stamp below the highest seen is refused
	Unknown                    // R9  a proposal whose outcome is unknown is never treated as failed
	LeaseFromSend              // R10 a lease runs from the moment the heartbeat was sent
	StartHeld                  // R11 a proxy that starts holds writes until it has a lease
	Drain                      // R12a "stopped" is answered only when nothing is in flight
	AckCheck                   // R12c OK is relayed only while the lease lives and the primary is the one the write was sent to
	PrepareFirst               // R13 the candidate is prepared before anything is stopped
	PromiseHold                // R13 a live promise keeps the promiser from being prepared or promoted
	Level                      // R14 writable only while a lease that names this server lives; no message alone makes it so
	StartFence                 // R14 an agent that starts has no lease, and sets read_only before anything else
	SoftLimit                  // R15 the fence is in place before the lease ends, not after
	Durable                    // R16 stamp, role and fence are on disk before a fence is answered
	PromiseKept                // R16 a promise survives a restart
	LockKept                   // R16 a preparation survives a restart
	SetAcked                   // R17 a replica can be promoted only once the primary's agent has acknowledged a set with it
	SetQuiet                   // R17 that acknowledgement waits until no failsafe or lent lease of the old set is left
	AskAll                     // R18b all replicas must promise, not most of them
	FsRefuse                   // R18c whoever knows a later stamp, is prepared, or is primary refuses a promise
	FsFromSend                 // R18d the failsafe lease runs from the moment the round was sent
	LentBound                  // R18e a lent lease ends with the failsafe lease at the latest
	FsIdle                     // R18f an agent that knows of an open switch neither asks for promises nor lends
	LosslessSet                // R19 every semi-sync replica has stopped receiving before the positions are compared
	SemiRecorded               // R20 only recorded replicas send semi-sync acknowledgements
	MyCnf                      // R21 mysqld starts with read_only=1
	NoAckFree                  // R22 demotion never releases sessions that wait for a semi-sync acknowledgement
	Supersede                  // R23 a switch that supersedes another has the committed primary as its from
	DrainCounted               // R2  a grant for what is in flight is waited for as a lease is
	DrainHeld                  // R4  no write begins under a grant for what is in flight
	DrainLives                 // R12d that grant prolongs a lease that lives, and revives none
	numGuards
)

var guardNames = [numGuards]string{
	"VerifyGrant", "ElectionWait", "OwnWait", "DriftMargin", "GroupGrant", "UnregWait", "LogFirst", "Term", "CAS",
	"FreshGen", "StepOrder", "Unknown", "LeaseFromSend", "StartHeld", "Drain", "AckCheck", "PrepareFirst", "PromiseHold",
	"Level", "StartFence", "SoftLimit", "Durable", "PromiseKept", "LockKept", "SetAcked", "SetQuiet", "AskAll", "FsRefuse",
	"FsFromSend", "LentBound", "FsIdle", "LosslessSet", "SemiRecorded", "MyCnf", "NoAckFree", "Supersede",
	"DrainCounted", "DrainHeld", "DrainLives",
}

// String is the guard's name.
func (g Guard) String() string {
	if g < numGuards {
		return guardNames[g]
	}
	return fmt.Sprintf("Guard(%d)", uint8(g))
}

// Guards is a set of guards.
type Guards uint64

// AllGuards is the protocol as it must be built.
const AllGuards Guards = 1<<numGuards - 1

// Has says whether g is in the set.
func (s Guards) Has(g Guard) bool { return s>>g&1 == 1 }

// Without is the set less those guards.
func (s Guards) Without(guards ...Guard) Guards {
	for _, g := range guards {
		s &^= 1 << g
	}
	return s
}

// joinGuards is what a mutant without these guards is called.
func joinGuards(guards []Guard) string {
	names := make([]string, len(guards))
	for i, g := range guards {
		names[i] = g.String()
	}
	return strings.Join(names, "+")
}
