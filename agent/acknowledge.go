package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

const (
	// owedQuiet is how long a replica has received nothing new until it asks its source
	// whether commits wait there; the pause doubles up to owedPause while that stays so.
	owedQuiet = 250 * time.Millisecond
	owedPause = 30 * time.Second
	// owedApart is the least between two questions, for a source that is written to now and then.
	owedApart = time.Second
	// owedTimeout bounds a question and its answer.
	owedTimeout = 15 * time.Second
)

// errNotMine: this replica is not to acknowledge now.
var errNotMine = errors.New("another change of the server runs, or the record does not name it any more")

// owed says when a replica should look whether its source waits for an
// acknowledgement that was lost. A source whose commits wait sends nothing new, so one that
// does needs no question.
type owed struct {
	source, gtid string
	since        time.Time     // it received nothing new
	next         time.Duration // after since, when to ask
	asked        time.Time
	running      atomic.Bool // one question at a time
}

// due reports whether to ask now, of a replica as it is.
func (o *owed) due(r *mysql.Replication, now time.Time) bool {
	if o.source != r.Source() || o.gtid != r.GtidIOPos {
		o.source, o.gtid, o.since, o.next = r.Source(), r.GtidIOPos, now, owedQuiet
		return false
	}
	quiet := now.Sub(o.since)
	if quiet < o.next || now.Sub(o.asked) < owedApart || !o.running.CompareAndSwap(false, true) {
		return false
	}
	o.asked, o.next = now, quiet+min(quiet, owedPause)
	return true
}

// acknowledgeAgain lets a recorded replica that has heard nothing new tell its source what
// it has received, if commits wait there: their acknowledgements may have been
// lost with a connection, and then they would wait for ever. It never waits for the source.
// It is for enforce.
func (a *Agent) acknowledgeAgain(ctx context.Context, grants []api.Grant, s mysql.State) {
	r := s.Replication
	if len(grants) == 0 || !s.Reachable || r == nil || r.IORunning != "Yes" || !s.SemiSync.ReplicaActive || !a.mayAcknowledge(grants[0], r.Source()) {
		return
	}
	if !a.owed.due(r, time.Now()) {
		return
	}
	a.ahead.Go(func() {
		defer a.owed.running.Store(false)
		ctx, cancel := context.WithTimeout(ctx, owedTimeout)
		defer cancel()
		done, err := a.db.AcknowledgeReceived(ctx, a.acknowledgeTurn(r.Source()))
		switch {
		case ctx.Err() != nil || errors.Is(err, errNotMine):
		case err != nil && done.Waiting > 0:
			a.log.Warn("commits wait at the source, and cannot be acknowledged from here now", "source", r.Source(), "error", err)
		case err != nil: // the source's own trouble is seen elsewhere
			a.log.Debug("whether commits wait at the source is not known", "source", r.Source(), "error", err)
		case done.File != "":
			a.log.Info("acknowledged again what was received: commits waited for it", "source", r.Source(), "gtid", done.GTID, "file", done.File, "position", done.Position)
		}
	})
}

// mayAcknowledge: only a replica that the record names acknowledges (R20), only to the primary,
// and not after an order stopped it (R19).
func (a *Agent) mayAcknowledge(grant api.Grant, source string) bool {
	m := a.remembered()
	return m.Acks && grant.Acknowledge && grant.Primary.Address == source && !m.stopped(grant.Stamp) && grant.Stamp.Compare(m.Stamp) >= 0
}

// acknowledgeTurn takes the turn for the acknowledgement itself, so that no order to stop and no change
// of the record is carried out meanwhile; an order that comes ends it (R19, R20).
func (a *Agent) acknowledgeTurn(source string) mysql.Turn {
	return func(ctx context.Context) (context.Context, func(), error) {
		taken, release, busy := a.turn.try(ctx, rankLevel)
		if busy != nil {
			return nil, nil, errNotMine
		}
		a.mu.Lock()
		grants := a.grants
		a.mu.Unlock()
		if len(grants) == 0 || !a.mayAcknowledge(grants[0], source) {
			release()
			return nil, nil, errNotMine
		}
		return taken, release, nil
	}
}
