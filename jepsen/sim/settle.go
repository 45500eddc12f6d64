package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/cluster"
	"github.com/zerokeeper/zero/fsm"
)

// settleTime bounds every wait for the group after the chaos (I12).
const settleTime = 10 * time.Second

// await waits for a condition, bounded; it is a violation of I12 if it never
// holds. The condition says what is missing.
func (w *world) await(what string, limit time.Duration, missing func() string) bool {
	start := time.Now()
	for {
		why := missing()
		if why == "" {
			return true
		}
		if time.Since(start) > limit {
			w.violate("I12", "not within %v: %s: %s", limit, what, why)
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// agreed is why not all nodes are ready voters of one group in the same state.
func (w *world) agreed() string {
	var first *cluster.Node
	for _, m := range w.members {
		l := m.life.Load()
		if l == nil {
			return m.name + " is down"
		}
		if err := l.node.Ready(); err != nil {
			return fmt.Sprintf("%s is not ready: %v", l.who, err)
		}
		if first == nil {
			first = l.node
		}
		if a, b := first.State().Index(), l.node.State().Index(); a != b {
			return fmt.Sprintf("%s is at %d, %s at %d", first.Status().Name, a, l.who, b)
		}
		voters := 0
		for _, member := range l.node.Members() {
			if member.Voter && member.Name != "" {
				voters++
			}
		}
		if voters != len(w.members) {
			return fmt.Sprintf("%s knows %d voters of %d", l.who, voters, len(w.members))
		}
	}
	return ""
}

// recover measures how soon writes are done again after the chaos (I12). The
// clients still work.
func (w *world) recover(ctx context.Context) {
	start := time.Now()
	serial := 0
	w.await("a write", settleTime, func() string {
		l := w.leader()
		if l == nil {
			return "nobody leads"
		}
		serial++
		value := fmt.Sprint("after.", serial)
		within, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := l.node.Propose(within, fsm.Header{}, &fsm.PutSection{ID: elements, Section: value, Data: []byte(value)}); err != nil {
			return fmt.Sprintf("%s: %v", l.who, err)
		}
		return ""
	})
	w.firstOK = time.Since(start)
}

// lastLook waits until all nodes agree and holds what they have against what
// clients were told.
func (w *world) lastLook(ctx context.Context) {
	start := time.Now()
	ended := w.await("switches end and all nodes agree", 2*settleTime, func() string {
		if l := w.leader(); l != nil {
			if g := l.node.State().Group(group); g != nil && g.OpenSwitch != "" {
				return "switch " + g.OpenSwitch + " is open"
			}
		}
		return w.agreed()
	})
	w.settled = w.firstOK + time.Since(start)
	if !ended {
		return
	}
	reader := newClient(w, w.opt.Clients)
	for i := range registers {
		reader.read(ctx, fmt.Sprint("r", i))
	}
	for i := range swaps {
		reader.read(ctx, fmt.Sprint("v", i))
	}
	var index uint64
	var hash [32]byte
	for i, m := range w.members {
		l := m.life.Load()
		if l == nil {
			w.violate("FATAL", "%s ended while nothing happened", m.name)
			return
		}
		state := l.node.State()
		if i == 0 {
			index, hash = state.Index(), state.Hash()
		}
		if state.Index() == index && state.Hash() != hash {
			w.violate("I3", "%s has another state at %d than %s", l.who, index, w.members[0].name)
		}
		w.checkDurable(l.who, state)
		w.checkSwitches(state)
	}
}
