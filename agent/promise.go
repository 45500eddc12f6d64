package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/durable"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// promise is what this agent has promised: until End its server becomes the
// primary by nothing that anybody says (R16). It is on the disk before the answer.
type promise struct {
	To     string        `json:"to,omitempty"` // the primary, empty: none was given
	Stamp  api.Stamp     `json:"stamp"`
	Boot   string        `json:"boot"` // of the clock that the moments are on
	End    lease.Instant `json:"end"`
	Length time.Duration `json:"length"`
	// Fresh is when this directory was begun, 0 when that does not matter any more:
	// what was promised before is not known.
	Fresh lease.Instant `json:"fresh,omitempty"`
}

// promises keeps the promise in the file promise.json of the data directory.
type promises struct {
	path string
	boot string

	mu sync.Mutex
	promise
}

// openPromises reads what was promised before. On another run of the machine the
// clock has begun anew, so the whole promise counts again.
func openPromises(dir, boot string, fresh bool) (*promises, error) {
	p := &promises{path: filepath.Join(dir, "promise.json"), boot: boot}
	found, err := durable.ReadJSON(p.path, &p.promise)
	if err != nil {
		return nil, fmt.Errorf("read what the agent has promised: %w", err)
	}
	now := lease.Now()
	switch {
	case found && (boot == "" || p.Boot != boot):
		p.Boot = boot
		if p.To != "" {
			p.End = now.Add(p.Length)
		}
		if p.Fresh != 0 {
			p.Fresh = now
		}
	case !found && fresh:
		p.promise = promise{Boot: boot, Fresh: now}
	default:
		p.End = min(p.End, now.Add(p.Length))
		return p, nil
	}
	return p, p.write(p.promise)
}

func (p *promises) write(next promise) error {
	if err := durable.WriteJSON(p.path, next); err != nil {
		return fmt.Errorf("remember a promise: %w", err)
	}
	return nil
}

// alive is what is left of the promise.
func (p *promises) alive() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left()
}

func (p *promises) left() time.Duration {
	if p.To == "" {
		return 0
	}
	return max(0, lease.Until(p.End))
}

// unknown is for how long a directory that was begun a moment ago may lack a
// promise of that length.
func (p *promises) unknown(length time.Duration) time.Duration {
	if p.Fresh == 0 {
		return 0
	}
	return max(0, lease.Until(p.Fresh.Add(length)))
}

// over refuses while a promise is, or may be, alive (R13). The error's data says
// for how long.
func (p *promises) over(leaseMS int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait, why := p.left(), "it promised "+p.To+" to accept no promotion"
	if unknown := p.unknown(timesOf(leaseMS).Promise); unknown > wait {
		wait, why = unknown, "its memory was begun a moment ago, and what it promised before is not known"
	}
	if wait == 0 {
		return nil
	}
	data, err := json.Marshal(api.PromiseAliveData{WaitMS: wait.Milliseconds() + 1})
	if err != nil {
		return err
	}
	return &api.Error{Code: api.PromiseAlive, Msg: fmt.Sprintf("prepared, but wait %v: %s", wait.Round(time.Millisecond), why), Data: string(data)}
}

// give promises, from received on, if may allows it. The lock orders it with a
// preparation: whichever of the two comes second sees the first (R13).
func (p *promises) give(received lease.Instant, to string, stamp api.Stamp, length time.Duration, may func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := may(); err != nil {
		return err
	}
	if wait := p.unknown(length); wait > 0 {
		return api.Errorf(api.NoPromise, "the memory of this agent was begun a moment ago: no promise for %v", wait.Round(time.Millisecond))
	}
	next := promise{To: to, Stamp: stamp, Boot: p.boot, End: max(p.End, received.Add(length)), Length: length}
	if err := p.write(next); err != nil { // R16
		return err
	}
	p.promise = next
	return nil
}

// timesOf is the times of leases that a machine names, within what is possible.
func timesOf(leaseMS int64) lease.Times {
	if leaseMS <= 0 {
		return lease.For(lease.Default)
	}
	length := time.Duration(min(leaseMS, lease.Longest.Milliseconds())) * time.Millisecond
	return lease.For(max(length, lease.Shortest))
}

// refuses is why no promise is given (R18c), by what this agent remembers.
func (m memory) refuses(body api.PromiseFailsafeRequest, newest api.Stamp) error {
	if newest.Compare(m.Stamp) < 0 {
		newest = m.Stamp
	}
	switch {
	case m.HostGroup == "" || m.HostGroup != body.HostGroup:
		return api.Errorf(api.IdentityMismatch, "%s belongs to host group %q, not %q", m.Address, m.HostGroup, body.HostGroup)
	case !m.Failsafe:
		return api.Errorf(api.NoPromise, "host group %s does not use failsafe, as far as is known here", m.HostGroup)
	case body.Stamp.Compare(newest) < 0: // R18c
		return api.Errorf(api.StaleGeneration, "this agent has seen stamp %s, the primary %s", newest, body.Stamp)
	case m.Role != roleNotPrimary:
		return api.Errorf(api.NoPromise, "%s is the primary itself, or nobody has said that it is not", m.Address)
	case inSwitch(newest.Step):
		return api.Errorf(api.NoPromise, "a switch of host group %s is open: stamp %s", m.HostGroup, newest)
	case m.Prepared != 0 && m.Prepared >= newest.Generation && newest.Step != api.StepIdle:
		return api.Errorf(api.NoPromise, "%s is prepared to become the primary in generation %d", m.Address, m.Prepared)
	}
	return nil
}

// PromiseFailsafeProcessor promises the primary's agent to accept no promotion for
// a while (R18). The promise is on the disk before the answer (R16).
func (a *Agent) PromiseFailsafeProcessor(ctx context.Context, _ *wire.Request, body api.PromiseFailsafeRequest) (api.PromiseFailsafeAnswer, error) {
	received := lease.Now()
	asker := wire.PrincipalFrom(ctx).Hello.Address
	var answer api.PromiseFailsafeAnswer
	if asker != body.Primary || asker == a.db.Address() {
		return answer, api.Errorf(api.Forbidden, "%s: the agent of %q asks for %q", api.PromiseFailsafe, asker, body.Primary)
	}
	length := timesOf(body.LeaseMS).Promise
	err := a.promises.give(received, body.Primary, body.Stamp, length, func() error {
		m := a.remembered()
		if _, ok := m.peer(asker); !ok {
			return api.Errorf(api.Forbidden, "%s: %s is no member of host group %q here", api.PromiseFailsafe, asker, m.HostGroup)
		}
		return m.refuses(body, a.failsafe.newest(m.HostGroup))
	})
	if err != nil {
		return answer, err
	}
	if a.failsafe.promised() {
		a.log.Warn("promised to accept no promotion: the primary hears no keeper", "primary", body.Primary, "stamp", body.Stamp, "for", length.Round(time.Millisecond))
	}
	return api.PromiseFailsafeAnswer{Address: a.db.Address(), Round: body.Round, PromiseMS: length.Milliseconds()}, nil
}
