package ctl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
)

// Exit codes of zeroctl. They are stable: scripts depend on them.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUnreachable = 2
	ExitBadInput    = 3
	ExitRefused     = 4
	ExitUnhealthy   = 5
	ExitUsage       = 64
)

// exitText is the one table of exit codes, shown by "zeroctl help exit-codes".
var exitText = []struct {
	code  int
	name  string
	means string
}{
	{ExitOK, "ok", "it was done"},
	{ExitFailed, "failed", "it was tried and failed, or its outcome is not known; the message says which"},
	{ExitUnreachable, "unreachable", "no keeper could be reached, or the keepers have no leader"},
	{ExitBadInput, "bad input", "a file, a name or a value is wrong; nothing was changed"},
	{ExitRefused, "refused", "the keepers said no, by a rule; nothing was changed"},
	{ExitUnhealthy, "unhealthy", "the answer is there, and it says that the cluster needs a look"},
	{ExitUsage, "usage", "the command line or a setting of zeroctl is wrong"},
}

// apiExit is the exit code for every code of an answer. It is total: a test
// holds it to the table of package api.
var apiExit = map[api.Code]int{
	api.OK: ExitOK,

	api.NetConnect: ExitFailed, api.DataRead: ExitFailed, api.Common: ExitFailed,
	api.UnknownRequest: ExitFailed, api.Deadline: ExitFailed, api.Cancelled: ExitFailed,
	api.DrainTimeout: ExitFailed, api.LockSession: ExitFailed, api.LockGet: ExitFailed,
	api.StoreGet: ExitFailed, api.StorePut: ExitFailed, api.VoteFetchFailed: ExitFailed,
	api.LoadFetchFailed: ExitFailed, api.MySQLQuery: ExitFailed, api.StoreOperation: ExitFailed,
	api.SetDatabase: ExitFailed, api.Unlock: ExitFailed, api.OutcomeUnknown: ExitFailed,
	api.Compacted: ExitFailed, api.SwitchAborted: ExitFailed, api.FenceFailed: ExitFailed,
	api.ProxyNotStopped: ExitFailed, api.SessionGone: ExitFailed, api.MySQLUnreachable: ExitFailed,
	api.PositionTimeout: ExitFailed, api.FenceTimeout: ExitFailed, api.WaitingForAck: ExitFailed,

	api.StoreConnect: ExitUnreachable, api.NotLeader: ExitUnreachable,
	api.NoLeader: ExitUnreachable, api.NotReady: ExitUnreachable,

	api.ParameterNil: ExitBadInput, api.BadYAML: ExitBadInput, api.ConfigCheck: ExitBadInput,
	api.BadRequest: ExitBadInput, api.TooLarge: ExitBadInput, api.NoSuchGroup: ExitBadInput,
	api.KeyMissing: ExitBadInput,

	api.ClusterStatus: ExitRefused, api.Unauthenticated: ExitRefused, api.Forbidden: ExitRefused,
	api.Busy: ExitRefused, api.RateLimited: ExitRefused, api.NotWritable: ExitRefused,
	api.NothingToUndo: ExitRefused, api.IdentityMismatch: ExitRefused, api.SwitchInProgress: ExitRefused,
	api.LoadHigh: ExitRefused, api.TooFewVotes: ExitRefused, api.TooFrequent: ExitRefused,
	api.BinlogInconsistent: ExitRefused, api.InvalidSwitch: ExitRefused, api.StaleGeneration: ExitRefused,
	api.LastProxy: ExitRefused, api.ForeignCluster: ExitRefused, api.PreflightFailed: ExitRefused,
	api.NoPromise: ExitRefused, api.PromiseAlive: ExitRefused, api.NoFailsafe: ExitRefused,
	api.NotPrepared: ExitRefused, api.NotReplica: ExitRefused, api.NotDrained: ExitRefused,
	api.StillReplica: ExitRefused, api.ServerDead: ExitRefused, api.Conflict: ExitRefused, api.DiskLow: ExitRefused,
	api.GroupFrozen: ExitRefused, api.NotFrozen: ExitRefused,
	api.MayLoseWrites: ExitRefused, api.NoCandidate: ExitRefused, api.PrimaryAlive: ExitRefused,
	api.Maintenance: ExitRefused, api.Braked: ExitRefused, api.AckPending: ExitRefused, api.HookVeto: ExitRefused,
	api.NotRecorded: ExitRefused,
}

// ErrUnreachable is returned when none of the keepers could be connected to.
var ErrUnreachable = transport.ErrNoKeeper

// exitError is an error with its exit code.
type exitError struct {
	code int
	api  api.Code // of "error" in JSON; 0 for the one that goes with code
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// badInput is a mistake in what the operator gave.
func badInput(format string, args ...any) error {
	return &exitError{code: ExitBadInput, err: fmt.Errorf(format, args...)}
}

// usage is a mistake in the command line.
func usage(format string, args ...any) error {
	return &exitError{code: ExitUsage, err: fmt.Errorf(format, args...)}
}

// unhealthy is an answer that needs a look.
func unhealthy(format string, args ...any) error {
	return &exitError{code: ExitUnhealthy, err: fmt.Errorf(format, args...)}
}

// failed is something that was tried and did not work.
func failed(code api.Code, format string, args ...any) error {
	return &exitError{code: ExitFailed, api: code, err: fmt.Errorf(format, args...)}
}

// exitOf is the exit code for an error.
func exitOf(err error) int {
	if err == nil {
		return ExitOK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if errors.Is(err, ErrUnreachable) {
		return ExitUnreachable
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		if exit, ok := apiExit[e.Code]; ok {
			return exit
		}
	}
	return ExitFailed
}

// codeOf is the api code that JSON shows for an error: the keeper's own where
// there is one, else the one that says the same.
func codeOf(err error) api.Code {
	if e, ok := errors.AsType[*exitError](err); ok && e.api != 0 {
		return e.api
	}
	if errors.Is(err, ErrUnreachable) {
		return api.NetConnect
	}
	if code, _ := api.CodeOf(err); code != api.Common {
		return code
	}
	switch exitOf(err) {
	case ExitBadInput, ExitUsage:
		return api.BadRequest
	case ExitUnhealthy:
		return api.ClusterStatus
	}
	return api.Common
}

// advice says what to do about an error, when its message may not.
func advice(err error) string {
	switch codeOf(err) {
	case api.NetConnect:
		return "Are the keepers running, and does --keepers (or ZERO_KEEPERS) name their machine ports?"
	case api.NoLeader, api.NotLeader, api.NotReady:
		return "A majority of the keepers must be up and reach each other; \"zeroctl member list\" shows which are."
	case api.OutcomeUnknown:
		return "It may or may not have happened. Look before you try again."
	case api.UnknownRequest:
		return "The keeper does not know this request: it is older than this zeroctl. \"zeroctl version --keepers …\" shows both."
	case api.SwitchInProgress:
		return "\"zeroctl switch list\" shows it; it can be stopped with \"zeroctl switch abort\"."
	case api.Deadline:
		return "A longer --timeout may help."
	}
	return ""
}

// exitHelp is the text of "zeroctl help exit-codes".
func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit codes of zeroctl:\n\n")
	for _, e := range exitText {
		fmt.Fprintf(&b, "  %-3d %-12s %s\n", e.code, e.name, e.means)
	}
	b.WriteString("\nWith -o json an error is also an object on the standard output:\n\n")
	b.WriteString("  {\"error\": {\"code\": 2004, \"message\": \"…\", \"exit\": 4}}\n\n")
	b.WriteString("code is the code of the answer. The codes and their exits:\n\n")
	codes := api.Codes()
	slices.SortStableFunc(codes, func(a, b api.Code) int { return apiExit[a] - apiExit[b] })
	for _, c := range codes {
		fmt.Fprintf(&b, "  %-3d %-5d %s\n", apiExit[c], int32(c), c)
	}
	return b.String()
}
