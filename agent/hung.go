package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
)

const (
	// greetTimeout bounds the wait for a greeting.
	greetTimeout = time.Second
	// muteLooks is how many looks in a row must bring nothing before a server counts
	// as hung.
	muteLooks = 3
	// muteGap is the longest pause between two looks. After a longer one this agent
	// itself stood still, and what was before says nothing.
	muteGap = 10 * time.Second
	// hangsAfter is when a fence of a failover waits for nothing any more.
	hangsAfter = 5 * time.Second
)

// muteness is how long a server has answered nothing at all: no question, no login,
// not even the greeting that every new connection gets.
type muteness struct {
	since time.Time // the first look that brought nothing; zero: it answers
	last  time.Time // the newest one
	looks int
}

// look counts one look at the server.
func (m *muteness) look(began time.Time, answered bool) {
	switch {
	case answered:
		*m = muteness{}
	case m.since.IsZero() || began.Sub(m.last) > muteGap:
		*m = muteness{since: began, last: began, looks: 1}
	default:
		m.last = began
		m.looks++
	}
}

// duration is for how long, 0 while too few looks say so.
func (m *muteness) duration(now time.Time) time.Duration {
	if m.looks < muteLooks || now.Sub(m.last) > muteGap {
		return 0
	}
	return now.Sub(m.since)
}

// listen notes whether the server gave any answer. err is what asking it brought: a
// refusal is an answer. One that is too busy for that is asked for its greeting.
func (a *Agent) listen(ctx context.Context, err error) {
	began := time.Now()
	answered := err == nil || mysql.Answered(err)
	if !answered && !a.isDead() {
		bounded, cancel := context.WithTimeout(ctx, greetTimeout)
		answered = a.db.Greets(bounded) == nil
		cancel()
	}
	if ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	a.mute.look(began, answered || a.dead)
	hung := a.hungFor()
	a.mu.Unlock()
	if hung > 0 {
		if hung >= hangsAfter {
			a.warn(warnHung, fmt.Sprintf("the server hangs: its process %d is there and answers nothing, not even a new connection", a.processID()))
		}
		return
	}
	a.warn(warnHung, "")
}

func (a *Agent) processID() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pid
}

// hungFor is for how long the server has answered nothing although its process is
// there, 0 when it answers. mu is held.
func (a *Agent) hungFor() time.Duration {
	if a.dead || a.pid == 0 {
		return 0
	}
	return a.mute.duration(time.Now())
}

// hangs reports whether there is no use in waiting for the server.
func (a *Agent) hangs() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hungFor() >= hangsAfter
}
