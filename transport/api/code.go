package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Code is the code of an answer (seed 000, Response.code). 0 is success;
// 1–999 are common, 1000–1999 a proxy's, 2000–2999 a keeper's and 3000–3999 an
// agent's. Numbers are append-only: one that was published keeps its meaning.
type Code int32

// The codes. 1–7, 1000 and 2001–2020 are the original's; where those named
// etcd they mean the quorum store here.
const (
	OK Code = 0

	NetConnect    Code = 1
	ParameterNil  Code = 2
	BadYAML       Code = 3
	DataRead      Code = 4
	Common        Code = 5
	ClusterStatus Code = 6
	ConfigCheck   Code = 7

	BadRequest      Code = 100
	UnknownRequest  Code = 101
	Unauthenticated Code = 102
	Forbidden       Code = 103
	Deadline        Code = 104
	Busy            Code = 105
	TooLarge        Code = 106
	Cancelled       Code = 107

	NotWritable      Code = 1000
	NoSuchGroup      Code = 1100
	DrainTimeout     Code = 1101
	NothingToUndo    Code = 1102
	IdentityMismatch Code = 1103

	StoreConnect       Code = 2001
	LockSession        Code = 2002
	LockGet            Code = 2003
	SwitchInProgress   Code = 2004
	StoreGet           Code = 2005
	StorePut           Code = 2006
	VoteFetchFailed    Code = 2007
	LoadHigh           Code = 2008
	LoadFetchFailed    Code = 2009
	MySQLQuery         Code = 2010
	StoreOperation     Code = 2011
	TooFewVotes        Code = 2012
	SetDatabase        Code = 2013
	TooFrequent        Code = 2014
	Unlock             Code = 2015
	KeyMissing         Code = 2016
	BinlogInconsistent Code = 2019
	InvalidSwitch      Code = 2020

	NotLeader       Code = 2101
	NoLeader        Code = 2102
	OutcomeUnknown  Code = 2103
	StaleGeneration Code = 2104
	Compacted       Code = 2105
	NotReady        Code = 2106
	RateLimited     Code = 2107
	SwitchAborted   Code = 2108
	FenceFailed     Code = 2109
	ProxyNotStopped Code = 2110
	LastProxy       Code = 2111
	ForeignCluster  Code = 2112
	SessionGone     Code = 2113
	PreflightFailed Code = 2114
	Conflict        Code = 2115
	DiskLow         Code = 2116
	MayLoseWrites   Code = 2117
	NoCandidate     Code = 2118
	PrimaryAlive    Code = 2119
	GroupFrozen     Code = 2130
	NotFrozen       Code = 2131
	Maintenance     Code = 2124
	Braked          Code = 2125
	AckPending      Code = 2126
	HookVeto        Code = 2127
	NotRecorded     Code = 2120

	NoPromise    Code = 3020
	PromiseAlive Code = 3021
	NoFailsafe   Code = 3022

	MySQLUnreachable Code = 3100
	NotPrepared      Code = 3101
	PositionTimeout  Code = 3102
	FenceTimeout     Code = 3103
	WaitingForAck    Code = 3104
	NotReplica       Code = 3105
	NotDrained       Code = 3106
	StillReplica     Code = 3107
	ServerDead       Code = 3108
)

// codeText is the one table of codes: what each means, in words that an
// operator can act on.
var codeText = map[Code]string{
	OK:                 "ok",
	NetConnect:         "connection failed",
	ParameterNil:       "a parameter is missing",
	BadYAML:            "the YAML cannot be read",
	DataRead:           "the data cannot be read",
	Common:             "failed",
	ClusterStatus:      "not every proxy of the cluster is up",
	ConfigCheck:        "the configuration is not valid",
	BadRequest:         "bad request",
	UnknownRequest:     "unknown request",
	Unauthenticated:    "not authenticated",
	Forbidden:          "not allowed for this role",
	Deadline:           "deadline exceeded",
	Busy:               "busy, try again later",
	TooLarge:           "too large",
	Cancelled:          "cancelled",
	NotWritable:        "the host group is not writable",
	NoSuchGroup:        "no such host group on this proxy",
	DrainTimeout:       "writes are still in flight",
	NothingToUndo:      "there is nothing to roll back to",
	IdentityMismatch:   "the datasource is not the one that was named",
	StoreConnect:       "the quorum store cannot be reached",
	LockSession:        "no lock session",
	LockGet:            "the lock cannot be taken",
	SwitchInProgress:   "a switch of this host group is in progress",
	StoreGet:           "the quorum store cannot be read",
	StorePut:           "the quorum store cannot be written",
	VoteFetchFailed:    "a vote cannot be fetched",
	LoadHigh:           "the candidate's load is too high",
	LoadFetchFailed:    "the load cannot be fetched",
	MySQLQuery:         "the database refused a statement",
	StoreOperation:     "the quorum store refused the operation",
	TooFewVotes:        "too few votes for the switch",
	SetDatabase:        "the database cannot be set",
	TooFrequent:        "the last switch of this host group ended too recently",
	Unlock:             "the lock cannot be given back",
	KeyMissing:         "not found",
	BinlogInconsistent: "the candidate does not have all of the primary's writes",
	InvalidSwitch:      "the switch is not valid",
	NotLeader:          "this keeper is not the leader",
	NoLeader:           "no leader",
	OutcomeUnknown:     "outcome unknown",
	StaleGeneration:    "the order's stamp is older than one already seen",
	Compacted:          "the index was compacted; read a snapshot and resume",
	NotReady:           "not ready",
	RateLimited:        "too many requests",
	SwitchAborted:      "the switch was aborted",
	FenceFailed:        "the old primary could not be confirmed read-only",
	ProxyNotStopped:    "a proxy did not confirm that it stopped writing",
	LastProxy:          "this is the last proxy that is up",
	ForeignCluster:     "the other side belongs to another cluster",
	SessionGone:        "the client session is unknown or its sequence was forgotten",
	PreflightFailed:    "the candidate failed a preflight rule",
	DiskLow:            "the keeper's disk is nearly full",
	MayLoseWrites:      "an acknowledged write might be missing",
	NoCandidate:        "no datasource can become the primary",
	PrimaryAlive:       "the primary is alive",
	GroupFrozen:        "the host group is frozen after a restore",
	NotFrozen:          "the host group is not frozen",
	Maintenance:        "the host group is in maintenance",
	Braked:             "the brake is on",
	AckPending:         "the last failover was not acknowledged yet",
	HookVeto:           "a hook said no",
	NotRecorded:        "the datasource is not a member of the group's recorded replicas",
	Conflict:           "it was changed by somebody else since it was read",
	NoPromise:          "this agent does not promise",
	PromiseAlive:       "a failsafe promise is alive, ask again when it is over",
	NoFailsafe:         "there is no failsafe lease to lend from",
	MySQLUnreachable:   "the database does not answer its agent",
	NotPrepared:        "the agent was not prepared for this switch",
	PositionTimeout:    "the position was not reached in time",
	FenceTimeout:       "read_only could not be set in time",
	WaitingForAck:      "a session waits for a semi-sync acknowledgement",
	NotReplica:         "the server is not a replica",
	NotDrained:         "the relay log is not applied yet",
	StillReplica:       "the server is still a replica",
	ServerDead:         "the database server is dead",
}

// Codes returns every code of the table, ascending.
func Codes() []Code {
	codes := make([]Code, 0, len(codeText))
	for c := range codeText {
		codes = append(codes, c)
	}
	slices.Sort(codes)
	return codes
}

// String is the text of the table, or "code N".
func (c Code) String() string {
	if s, ok := codeText[c]; ok {
		return s
	}
	return fmt.Sprintf("code %d", int32(c))
}

// Error is an answer that is not OK, on either side of the wire.
type Error struct {
	Code Code
	Msg  string // errMsg: what happened, to what, and what to do
	Data string // the answer's data, often empty
}

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Msg: fmt.Sprintf(format, args...)}
}

// Error is the message with its code.
func (e *Error) Error() string {
	if e.Msg == "" {
		return fmt.Sprintf("%s (%d)", e.Code, int32(e.Code))
	}
	return fmt.Sprintf("%s (%d)", e.Msg, int32(e.Code))
}

// Is reports whether target is an Error of the same code, so that
// errors.Is(err, api.ErrNotLeader) works on both sides of the wire.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Sentinels to compare with errors.Is.
var (
	ErrBadRequest      = &Error{Code: BadRequest}
	ErrUnknownRequest  = &Error{Code: UnknownRequest}
	ErrUnauthenticated = &Error{Code: Unauthenticated}
	ErrForbidden       = &Error{Code: Forbidden}
	ErrDeadline        = &Error{Code: Deadline}
	ErrBusy            = &Error{Code: Busy}
	ErrTooLarge        = &Error{Code: TooLarge}
	ErrCancelled       = &Error{Code: Cancelled}
	ErrNoSuchGroup     = &Error{Code: NoSuchGroup}
	ErrKeyMissing      = &Error{Code: KeyMissing}
	ErrNotLeader       = &Error{Code: NotLeader}
	ErrNoLeader        = &Error{Code: NoLeader}
	ErrOutcomeUnknown  = &Error{Code: OutcomeUnknown}
	ErrStaleGeneration = &Error{Code: StaleGeneration}
	ErrNotReady        = &Error{Code: NotReady}
	ErrRateLimited     = &Error{Code: RateLimited}
	ErrDiskLow         = &Error{Code: DiskLow}
	ErrConflict        = &Error{Code: Conflict}
)

// CodeOf is the code and message with which err is answered: OK for nil, the
// code of an Error anywhere in its chain (with the whole chain's message),
// Deadline and Cancelled for the context's errors, Common for any other.
func CodeOf(err error) (Code, string) {
	if err == nil {
		return OK, ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		if err == error(e) {
			return e.Code, e.Msg
		}
		return e.Code, err.Error()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Deadline, err.Error()
	case errors.Is(err, context.Canceled):
		return Cancelled, err.Error()
	}
	return Common, err.Error()
}

// ErrorOf is the way back: nil for OK, else an *Error.
func ErrorOf(code Code, msg, data string) error {
	if code == OK {
		return nil
	}
	return &Error{Code: code, Msg: msg, Data: data}
}
