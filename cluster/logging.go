package cluster

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	repeatEvery = 10 * time.Second // for one of raft's messages
	maxRepeats  = 256              // messages remembered
)

// levels are raft's messages that mean less than raft thinks: what belongs to
// an ordinary start, to a follower that is behind, and to another keeper that
// is down, which is that keeper's trouble.
var levels = map[string]hclog.Level{
	"no known peers, aborting election":                   hclog.Debug,
	"not part of stable configuration, aborting election": hclog.Debug,
	"heartbeat timeout reached, not part of a stable configuration or a non-voter, not triggering a leader election": hclog.Debug,
	"heartbeat timeout reached, starting election":                                                                   hclog.Info,
	"Election timeout reached, restarting election":                                                                  hclog.Info,
	"failed to get previous log":                                                                                     hclog.Debug,
	"appendEntries rejected, sending older logs":                                                                     hclog.Debug,
	"failed to get log":                                        hclog.Debug, // a panic or a snapshot follows
	"found temporary snapshot":                                 hclog.Debug,
	"rejecting vote request since we have a leader":            hclog.Info,
	"rejecting pre-vote request since we have a leader":        hclog.Info,
	"failed to heartbeat to":                                   hclog.Warn,
	"failed to appendEntries to":                               hclog.Warn,
	"failed to pipeline appendEntries":                         hclog.Warn,
	"failed to start pipeline replication to":                  hclog.Warn,
	"failed to send snapshot to":                               hclog.Warn,
	"failed to install snapshot":                               hclog.Warn,
	"failed to receive whole snapshot":                         hclog.Warn, // its sender died or was cut off
	"failed to copy snapshot":                                  hclog.Warn,
	"failed to make requestVote RPC":                           hclog.Warn,
	"failed to decode incoming command":                        hclog.Warn,
	"failed to flush response":                                 hclog.Warn,
	"peer has newer term, stopping replication":                hclog.Info,
	"unable to get address for server, using fallback address": hclog.Debug,
}

// raftLogger lets raft's warnings and errors through, each message once in a
// while, and turns its info messages into debug ones: leadership changes are
// logged by the node itself, with their term.
type raftLogger struct {
	hclog.Logger
	state *raftLogState
}

type raftLogState struct {
	stopping atomic.Bool // connections break, that is no news
	recent   repeats
}

func newRaftLogger(l hclog.Logger) raftLogger { return raftLogger{Logger: l, state: new(raftLogState)} }

// stop makes everything a debug message.
func (l raftLogger) stop() { l.state.stopping.Store(true) }

func (l raftLogger) Info(msg string, args ...any)  { l.Debug(msg, args...) }
func (l raftLogger) Warn(msg string, args ...any)  { l.let(hclog.Warn, msg, args) }
func (l raftLogger) Error(msg string, args ...any) { l.let(hclog.Error, msg, args) }

func (l raftLogger) Log(level hclog.Level, msg string, args ...any) {
	switch level {
	case hclog.Warn, hclog.Error:
		l.let(level, msg, args)
	case hclog.Trace:
		l.Trace(msg, args...)
	default:
		l.Debug(msg, args...)
	}
}

// let passes one warning or error on, at the level that it deserves.
func (l raftLogger) let(level hclog.Level, msg string, args []any) {
	if known, ok := levels[msg]; ok {
		level = known
	}
	if slices.ContainsFunc(args, needsNobody) {
		level = hclog.Debug
	}
	if level > hclog.Debug && (l.state.stopping.Load() || l.state.recent.within(msg)) {
		level = hclog.Debug
	}
	l.Logger.Log(level, msg, args...)
}

// needsNobody is an error that raft logs and that nobody can or must do anything
// about: a snapshot that a restarted keeper does not need (it counts entries that
// the newest has), or that a transfer of leadership or a change of the members that
// is being applied puts off. The last has no type in raft.
func needsNobody(arg any) bool {
	err, ok := arg.(error)
	return ok && (errors.Is(err, raft.ErrNothingNewToSnapshot) || errors.Is(err, raft.ErrLeadershipTransferInProgress) ||
		strings.HasPrefix(err.Error(), "cannot take snapshot now"))
}

func (l raftLogger) With(args ...any) hclog.Logger {
	return raftLogger{Logger: l.Logger.With(args...), state: l.state}
}

func (l raftLogger) Named(name string) hclog.Logger {
	return raftLogger{Logger: l.Logger.Named(name), state: l.state}
}

func (l raftLogger) ResetNamed(name string) hclog.Logger {
	return raftLogger{Logger: l.Logger.ResetNamed(name), state: l.state}
}

// repeats remembers when a message was last let through.
type repeats struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// within reports whether msg was let through a short while ago; if not, it is
// now.
func (r *repeats) within(msg string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if last, ok := r.last[msg]; ok && now.Sub(last) < repeatEvery {
		return true
	}
	if r.last == nil || len(r.last) >= maxRepeats {
		r.last = make(map[string]time.Time)
	}
	r.last[msg] = now
	return false
}
