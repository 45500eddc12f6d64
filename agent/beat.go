package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/host"
	"github.com/zerokeeper/zero/transport/lease"
)

const (
	// defaultBeat is the pause between heartbeats until a keeper names one, and
	// the bounds of what it may name.
	defaultBeat = 400 * time.Millisecond
	minBeat     = 50 * time.Millisecond
	maxBeat     = 10 * time.Second
	// firstRetry is the pause after a heartbeat that failed; it doubles up to
	// lastRetry. A lost leader is most often replaced soon, and a lease runs out.
	firstRetry = 20 * time.Millisecond
	lastRetry  = 80 * time.Millisecond
	// silence is how long nobody answers until it is worth a word: an election, and the
	// first moments of a process, are over by then.
	silence = time.Second
)

// Run asks the server what it is, tells the keepers, makes it what they answer,
// and read-only when their lease ends, until ctx ends. None of it waits for the
// rest: a server that hangs keeps neither heartbeats from being sent nor itself from
// being killed. It is called once.
func (a *Agent) Run(ctx context.Context, link Link) {
	var all sync.WaitGroup
	all.Go(func() { a.guard(ctx) })
	all.Go(func() { a.mourn(ctx) })
	all.Go(func() { a.watch(ctx) })
	all.Go(func() { a.enforce(ctx) })
	all.Go(func() { a.keepFailsafe(ctx) })
	a.beat(ctx, link)
	all.Wait()
	a.ahead.Wait()
}

// watch asks the server what it is: after each answer of a keeper, or when none
// comes.
func (a *Agent) watch(ctx context.Context) {
	told := false
	for first := true; ctx.Err() == nil; first = false {
		state, err := a.ask(ctx)
		if err != nil && ctx.Err() == nil {
			a.checkDead(ctx)
		}
		a.listen(ctx, err)
		if err == nil {
			a.reportBypass(ctx)
		}
		if ctx.Err() == nil && !a.isDead() {
			a.attach(ctx, state, err == nil)
		}
		if first {
			close(a.looked)
		}
		if ctx.Err() != nil {
			return
		}
		switch {
		case err != nil && !told:
			a.log.Warn("the database server does not answer", "datasource", a.db.Address(), "error", err)
		case err == nil && told:
			a.log.Info("the database server answers again", "datasource", a.db.Address())
		}
		told = err != nil
		poke(a.act)
		a.mu.Lock()
		pause := 2 * a.interval
		switch waited := a.unacked.waited(); {
		case a.dead:
			pause = deadLook // R21: it is read-only before anything when it comes back
		case waited > 0:
			pause = ackLook
		}
		a.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-a.look:
		case <-time.After(pause):
		}
	}
}

// beat sends heartbeats until ctx ends. Trouble is told once, not at every beat.
func (a *Agent) beat(ctx context.Context, link Link) {
	select {
	case <-ctx.Done():
	case <-a.looked: // the first one says who the server is
	}
	select {
	case <-ctx.Done():
	case <-a.secured: // R14: read-only before anything is told
	}
	retry, told, heard := firstRetry, false, time.Now()
	for seq := uint64(1); ctx.Err() == nil; seq++ {
		pause, err := a.beatOnce(ctx, link, seq)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause, retry = min(retry, pause), min(2*retry, lastRetry)
			if !told && time.Since(heard) >= silence {
				told = true
				a.log.Warn("no keeper answers; going on with what holds", "error", err)
			}
		default:
			if told {
				a.log.Info("keepers answer again", "after", time.Since(heard).Round(time.Millisecond))
			}
			retry, told, heard = firstRetry, false, time.Now()
		}
		select {
		case <-ctx.Done():
		case <-a.hurry:
		case <-time.After(pause):
		}
	}
}

// beatOnce sends one heartbeat and keeps what the answer says for enforce. It
// returns the pause until the next.
func (a *Agent) beatOnce(ctx context.Context, link Link, seq uint64) (time.Duration, error) {
	if err := connected(link); err != nil { // a lease is not to run while there is nobody to ask
		return a.beatInterval(), err
	}
	sent := lease.Now() // R10
	a.beating.Store(true)
	answer, err := a.send(ctx, link, seq)
	a.beating.Store(false)
	if err == nil {
		a.failsafe.answered(sent, answer) // R18f: before what it grants
		a.granted(sent, answer)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		return a.interval, err
	}
	if !a.heard || time.Since(a.answered) > silence {
		a.contact = time.Now()
	}
	a.heard, a.answered, a.grants, a.moment = true, time.Now(), answer.Grants, answer.Moment
	if answer.IntervalMS > 0 {
		a.interval = min(max(time.Duration(min(answer.IntervalMS, maxBeat.Milliseconds()))*time.Millisecond, minBeat), maxBeat)
	}
	poke(a.look)
	return a.interval, nil
}

func (a *Agent) send(ctx context.Context, link Link, seq uint64) (api.HeartbeatAnswer, error) {
	var answer api.HeartbeatAnswer
	data, err := json.Marshal(a.heartbeat(seq))
	if err != nil {
		return answer, fmt.Errorf("%s: %w", api.AgentHeartbeat, err)
	}
	ctx, cancel := context.WithTimeout(ctx, a.lease.patience(a.cfg.CallTimeout))
	defer cancel()
	resp, err := link.Call(ctx, api.AgentHeartbeat, nil, data)
	if err != nil {
		return answer, fmt.Errorf("%s: %w", api.AgentHeartbeat, err)
	}
	if err := json.Unmarshal(resp.Data, &answer); err != nil {
		return answer, fmt.Errorf("%s: the answer cannot be read: %w", api.AgentHeartbeat, err)
	}
	if answer.Seq != seq {
		return answer, fmt.Errorf("heartbeat %d was answered as %d", seq, answer.Seq)
	}
	return answer, nil
}

// heartbeat is what this agent says of itself and its server.
func (a *Agent) heartbeat(seq uint64) api.AgentHeartbeatRequest {
	info := host.SystemInfo()
	a.mu.Lock()
	defer a.mu.Unlock()
	m, s := a.notes.memory, a.state
	beat := api.AgentHeartbeatRequest{
		Address: a.db.Address(), SystemInfo: info, Seq: seq, Incarnation: a.incarnation, Version: a.cfg.Version, Listen: a.cfg.Listen,
		ServerID: s.Identity, ReadOnly: s.ReadOnly, Role: roleOf(s), Stamp: m.Stamp, HostGroup: m.HostGroup, Alarm: a.alarms(), Unfit: a.unfitness(),
		Dead: a.dead, HeardMS: -1, LagMS: -1, Zone: a.cfg.Zone, Applied: s.GTIDSlavePos,
		HungMS:    a.hungFor().Milliseconds(),
		Committed: m.Committed, Primary: m.Primary,
		SemiSync: a.semiSyncNow(), Position: s.GTIDBinlogPos,
	}
	if m.Role == rolePrimary {
		beat.ReplicaSet, beat.ReplicaVersion = m.set(), m.ReplicaVersion
	}
	if beat.ServerID == "" {
		beat.ServerID = m.ServerID
	}
	if r := s.Replication; r != nil && s.Reachable {
		beat.Source, beat.Receiving, beat.Received = r.Source(), r.IORunning == "Yes", r.GtidIOPos
		beat.HeardMS = a.heardOf.ago()
		if r.SecondsBehind >= 0 {
			beat.LagMS = r.SecondsBehind * 1000
			a.lag = beat.LagMS
		}
	}
	// Of a server that lost its source the database does not know any more how far
	// behind it was; a failover wants to know just then.
	if s.Reachable && s.Replication == nil {
		a.lag = -1 // it follows nobody
	}
	beat.LastLagMS = a.lag
	if s.Reachable {
		beat.MySQL = api.MySQLStatus{Status: 1, Connected: int(s.Connections)}
	}
	return beat
}
