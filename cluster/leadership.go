package cluster

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/transport/api"
)

const (
	dutyPause    = time.Second           // before duties that failed are run again in the same term
	barrierPause = 50 * time.Millisecond // between tries to finish a term's barrier
)

// tenure is the time in which this node leads in one term.
type tenure struct {
	term   uint64
	ctx    context.Context // ends with the leadership of that term, or with the node
	cancel context.CancelFunc
}

// tenures holds the current tenure, nil while another leads.
type tenures struct {
	mu      sync.Mutex
	current *tenure
	changed chan struct{}
	barrier uint64 // term whose barrier is done: the state has all of the terms before
}

// leads is the term in which this node is the leader now. A node leads in a
// term without a break: raft raises the term for every election.
func (n *Node) leads() (term uint64, leading bool) {
	for {
		term = n.raft.CurrentTerm()
		if n.raft.State() != raft.Leader {
			return 0, false
		}
		if n.raft.CurrentTerm() == term {
			return term, true
		}
	}
}

// IsLeader reports whether this node takes itself for the leader. Prove shows it.
func (n *Node) IsLeader() bool {
	_, leading := n.leads()
	return leading
}

// Term is raft's current term.
func (n *Node) Term() uint64 { return n.raft.CurrentTerm() }

// Leader is who leads, as far as this node knows; its fields are empty when it
// knows none.
func (n *Node) Leader() api.LeaderHint {
	address, id := n.raft.LeaderWithID()
	hint := api.LeaderHint{ID: string(id), Address: string(address), Term: n.raft.CurrentTerm()}
	if hint.ID == "" {
		hint.Address = ""
	}
	return hint
}

// tenureLoop drains raft's notifications, which raft waits for.
func (n *Node) tenureLoop() {
	for {
		select {
		case leading := <-n.notify:
			term, still := n.leads()
			if leading && still {
				ctx, cancel := context.WithCancel(n.ctx)
				n.tenures.set(&tenure{term: term, ctx: ctx, cancel: cancel})
				n.log.Info("leading", "term", term)
				continue
			}
			if n.tenures.set(nil) {
				n.log.Info("no longer leading", "term", n.raft.CurrentTerm())
			}
		case <-n.raftDown:
			n.tenures.set(nil)
			return
		}
	}
}

// set ends the current tenure, if there is one, and begins t.
func (s *tenures) set(t *tenure) (ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ended = s.current != nil; ended {
		s.current.cancel()
	}
	s.current = t
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return ended
}

// get is the current tenure and a channel that its end or the next one closes.
func (s *tenures) get() (*tenure, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.current, s.changed
}

func (s *tenures) setBarrier(term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barrier = max(s.barrier, term)
}

func (s *tenures) barrierDone(term uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.barrier >= term
}

// Lead runs f whenever this node leads, once the state holds everything of the
// terms before. f's ctx ends when the leadership of that term does; f must
// return then, and is not run again before it has. If f returns an error while
// this node still leads, leadership is given to another, or f is run again
// after a pause when there is no other. If it returns nil, it has done its part
// for the term. Lead returns when ctx or the node ends.
func (n *Node) Lead(ctx context.Context, f func(ctx context.Context, term uint64) error) error {
	for {
		t, changed := n.tenures.get()
		if t != nil {
			n.serve(ctx, t, f)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-n.dead:
			return n.stopped()
		}
	}
}

// serve runs f for one tenure and returns when that is over or ctx is.
func (n *Node) serve(ctx context.Context, t *tenure, f func(ctx context.Context, term uint64) error) {
	tctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	if !n.finishTerm(tctx, t.term) {
		return
	}
	for tctx.Err() == nil {
		err := f(tctx, t.term)
		if err == nil || tctx.Err() != nil {
			return
		}
		n.log.Error("the leader's duties failed, giving leadership away", "term", t.term, "error", err)
		if err := n.transferWithin(tctx, transferTimeout); err != nil && tctx.Err() == nil {
			n.log.Warn("leadership was not given away, trying the duties again", "term", t.term, "error", err)
		}
		sleep(tctx, dutyPause)
	}
}

// finishTerm waits until everything of the terms before is applied.
func (n *Node) finishTerm(ctx context.Context, term uint64) bool {
	for ctx.Err() == nil {
		if n.tenures.barrierDone(term) {
			return true
		}
		if p, err := n.Prove(ctx); err == nil && p.Term == term {
			n.tenures.setBarrier(term)
			return true
		}
		sleep(ctx, barrierPause)
	}
	return false
}

// sleep waits for d or ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// TransferLeadership moves leadership to a voter named by its id, name or
// address, or to the most advanced voter that takes it when to is empty. It
// returns when this node no longer leads.
func (n *Node) TransferLeadership(ctx context.Context, to string) error {
	if err := n.usable(); err != nil {
		return err
	}
	if _, leading := n.leads(); !leading {
		return n.notLeader()
	}
	if to == "" {
		return n.transferToAny(ctx)
	}
	id, err := n.resolve(to)
	if err != nil {
		return err
	}
	if string(id) == n.ID() {
		return nil
	}
	return n.transferTo(ctx, id)
}

// transferToAny asks raft's choice first, the voter with the longest log. That
// may be one that is down; then the others.
func (n *Node) transferToAny(ctx context.Context) error {
	if voters(n.configuration()) < 2 {
		return api.Errorf(api.BadRequest, "there is no other voter to lead")
	}
	err := n.transferred(ctx, n.raft.LeadershipTransfer())
	for _, s := range n.configuration().Servers {
		if err == nil || !n.IsLeader() || ctx.Err() != nil {
			break
		}
		if s.Suffrage == raft.Voter && string(s.ID) != n.ID() {
			err = n.transferTo(ctx, s.ID)
		}
	}
	return err
}

func (n *Node) transferTo(ctx context.Context, id raft.ServerID) error {
	server, ok := find(n.configuration(), id)
	if !ok || server.Suffrage != raft.Voter {
		return api.Errorf(api.BadRequest, "member %s is not a voter (yet)", id)
	}
	if err := n.transferred(ctx, n.raft.LeadershipTransferToServer(server.ID, server.Address)); err != nil {
		return fmt.Errorf("transfer leadership to %s: %w", id, err)
	}
	return nil
}

// transferred waits for a transfer. raft answers when leadership is gone, or
// gives up after an election's time.
func (n *Node) transferred(ctx context.Context, f raft.Future) error {
	endWith(f, n.raftDown)
	if err := n.await(ctx, f); err != nil {
		if !n.IsLeader() && ctx.Err() == nil {
			return nil
		}
		return api.Errorf(api.Common, "this keeper still leads: %v", err)
	}
	return nil
}

// endWith makes a future end with raft, as some of raft's own do: raft v1.7.3 never
// answers a transfer that is queued when it stops, nor an entry that is committed
// and waits to be applied then, and leaves the field that is meant for that empty.
// The types are not exported; one without the field is left as it is.
func endWith(f raft.Future, down chan struct{}) {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return // it has its error already
	}
	if field := v.Elem().FieldByName("ShutdownCh"); field.IsValid() && field.CanSet() && field.Type() == reflect.TypeFor[chan struct{}]() {
		field.Set(reflect.ValueOf(down))
	}
}

func (n *Node) transferWithin(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return n.TransferLeadership(ctx, "")
}

// handOver gives leadership away before a planned stop, as far as that works.
func (n *Node) handOver(ctx context.Context) {
	if n.usable() != nil || !n.IsLeader() || voters(n.configuration()) < 2 {
		return
	}
	start := time.Now()
	if err := n.abdicate(ctx); err != nil {
		n.log.Warn("stopping without handing over: the others must elect", "error", err)
		return
	}
	n.log.Info("handed leadership over", "to", n.Leader().ID, "took", time.Since(start).Round(time.Millisecond))
}

// abdicate gives leadership away and waits until another leads: a leader that
// only lost its quorum stops to lead as well.
func (n *Node) abdicate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	if err := n.TransferLeadership(ctx, ""); err != nil {
		return err
	}
	for {
		if id := n.Leader().ID; id != "" && id != n.ID() {
			return nil
		}
		if ctx.Err() != nil {
			return api.Errorf(api.NoLeader, "this keeper does not lead any more, and no other took over within %v", transferTimeout)
		}
		sleep(ctx, barrierPause/10)
	}
}

// resolve finds a member by id, name or address.
func (n *Node) resolve(who string) (raft.ServerID, error) {
	for _, m := range n.Members() {
		if m.ID == who || m.Name == who || m.Address == who {
			return raft.ServerID(m.ID), nil
		}
	}
	return "", api.Errorf(api.KeyMissing, "no member %q: name one by id, name or address", who)
}

// observeLoop logs whom this node follows.
func (n *Node) observeLoop(ctx context.Context, observations <-chan raft.Observation) {
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-observations:
			leader, ok := o.Data.(raft.LeaderObservation)
			if !ok || leader.LeaderID == "" {
				continue
			}
			now := fmt.Sprint(leader.LeaderID, " ", n.raft.CurrentTerm())
			if now == last {
				continue
			}
			last = now
			n.metrics.leaderChanges.Inc()
			if string(leader.LeaderID) != n.ID() {
				n.log.Info("following", "leader", leader.LeaderID, "address", leader.LeaderAddr, "term", n.raft.CurrentTerm())
			}
		}
	}
}
