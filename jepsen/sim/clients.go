package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// The registers of a run, and the table of elements that are written once.
const (
	registers = 3 // sections
	swaps     = 2 // configurations: compare and set on the version
	elements  = "set"
)

// client does one thing after the other, wherever it finds a leader.
type client struct {
	world   *world
	number  int
	rng     *rand.Rand
	target  int // the node that it believes leads
	session string
	epoch   int    // of the session: one that cannot go on is followed by another
	seq     uint64 // of the last command
	acked   uint64 // every answer up to this one is known
	serial  int
	seen    map[string]string // last known values, to compare with
}

func newClient(w *world, number int) *client {
	c := &client{world: w, number: number, rng: rand.New(rand.NewPCG(w.seed, uint64(300+number))), seen: make(map[string]string)}
	c.newSession()
	return c
}

func (c *client) newSession() {
	c.epoch++
	c.session, c.seq, c.acked = fmt.Sprintf("c%d.%d", c.number, c.epoch), 0, 0
}

// run works until ctx ends.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.serial++
		value := fmt.Sprintf("%d.%d", c.number, c.serial)
		switch n := c.rng.IntN(20); {
		case n < 7:
			c.read(ctx, c.key())
		case n < 12:
			key := fmt.Sprint("r", c.rng.IntN(registers))
			c.write(ctx, operation{kind: writeOp, key: key, value: value}, &fsm.PutSection{ID: "reg", Section: key, Data: []byte(value)})
		case n < 16:
			key := fmt.Sprint("v", c.rng.IntN(swaps))
			c.write(ctx, operation{kind: swapOp, key: key, expect: c.seen[key], value: value}, &fsm.PublishConfig{Cluster: key, Previous: c.seen[key], ConfigID: value})
		default:
			c.write(ctx, operation{kind: writeOp, key: elements + "/" + value, value: value}, &fsm.PutSection{ID: elements, Section: value, Data: []byte(value)})
		}
		_ = sleep(ctx, between(c.rng, 0, 60)) // the loop looks at ctx
	}
}

// key is a register of either kind.
func (c *client) key() string {
	if n := c.rng.IntN(registers + swaps); n >= registers {
		return fmt.Sprint("v", n-registers)
	} else {
		return fmt.Sprint("r", n)
	}
}

// lookup is a register's value in a state.
func lookup(state *fsm.State, key string) string {
	if key[0] == 'v' {
		if live := state.LiveConfig(key); live != nil {
			return live.ConfigID
		}
		return ""
	}
	if row := state.Section("reg", key); row != nil {
		return string(row.Data)
	}
	return ""
}

// read reads a register at a node that claims to lead.
func (c *client) read(ctx context.Context, key string) {
	w := c.world
	l := c.claimant()
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, between(c.rng, 300, 900))
	defer cancel()
	o := operation{client: c.number, kind: readOp, key: key, call: w.clock.Add(1), attempts: 1}
	var state *fsm.State
	if w.opt.UnprovenReads {
		state = l.node.State()
	} else {
		proof, err := l.node.Prove(ctx)
		if err != nil {
			c.follow(err)
			return
		}
		w.rec.leads(proof.Term, l.who)
		state = proof.State
	}
	if !l.heard() {
		return
	}
	o.value, o.verdict = lookup(state, key), done
	c.seen[key] = o.value
	o.ret = w.clock.Add(1)
	w.note(o)
}

// claimant is a node that takes itself for the leader: the one that the client
// believes in, or any.
func (c *client) claimant() *life {
	start := c.target
	if c.rng.IntN(4) == 0 {
		start = c.rng.IntN(len(c.world.members))
	}
	for i := range c.world.members {
		l := c.world.members[(start+i)%len(c.world.members)].life.Load()
		if l != nil && l.node.IsLeader() {
			return l
		}
	}
	return nil
}

// follow turns to the leader that an error names, or to anybody.
func (c *client) follow(err error) {
	c.target = c.rng.IntN(len(c.world.members))
	e, ok := errors.AsType[*api.Error](err)
	var hint api.LeaderHint
	if !ok || e.Code != api.NotLeader || json.Unmarshal([]byte(e.Data), &hint) != nil {
		return
	}
	for i, m := range c.world.members {
		if m.at == hint.Address {
			c.target = i
		}
	}
}

// write proposes a command until its outcome is known, or patience ends.
func (c *client) write(ctx context.Context, o operation, command fsm.Command) {
	w := c.world
	o.client = c.number
	header := fsm.Header{}
	if !w.opt.NoSessions {
		c.seq++
		header = fsm.Header{Session: c.session, Seq: c.seq, Acked: c.acked}
	}
	o.call = w.clock.Add(1)
	result, who, err := c.insist(ctx, &o, header, command)
	switch {
	case err == nil && result.Code == fsm.CodeSessionGone:
		w.violate("I10", "session %s/%d, acked %d, is gone, but nobody ended it: %s", header.Session, header.Seq, header.Acked, result.Msg)
		c.newSession()
		return
	case err == nil:
		o.index, o.verdict = result.Index, done
		if result.Code != 0 {
			o.verdict = refused
		}
	case o.doubts > 0:
		o.verdict = unknown
	}
	if o.verdict != unknown {
		o.ret = w.clock.Add(1)
	}
	w.note(o)
	switch o.verdict {
	case done:
		c.seen[o.key] = o.value
		if o.attempts == 1 {
			w.rec.acknowledged(who, 0, o.index)
		}
	case refused:
		delete(c.seen, o.key)
		if o.kind != swapOp || result.Code != fsm.CodeStaleGeneration {
			w.violate("I1", "%s was refused: %+v", o, result)
		}
	case unknown:
		delete(c.seen, o.key)
	}
	c.settle(ctx, o, header, command, result)
}

// settle is what follows an answer: sometimes the same question again (I10).
func (c *client) settle(ctx context.Context, o operation, header fsm.Header, command fsm.Command, result fsm.Result) {
	w := c.world
	switch {
	case w.opt.NoSessions:
		return
	case o.verdict == unknown || o.verdict == failed:
		if c.rng.IntN(2) == 0 || c.acked == 0 {
			c.newSession()
		}
		return
	case c.acked == header.Seq-1:
		c.acked = header.Seq
	}
	if c.rng.IntN(5) != 0 {
		return
	}
	again, _, err := c.insist(ctx, &o, header, command)
	if err == nil && !same(again, result) {
		w.violate("I10", "%s/%d was answered %+v first and %+v when it was asked again", header.Session, header.Seq, result, again)
	}
}

// insist asks one node after the other until one answers. The error is the last
// one's; o counts the attempts.
func (c *client) insist(ctx context.Context, o *operation, h fsm.Header, command fsm.Command) (result fsm.Result, who string, err error) {
	patience := time.Now().Add(between(c.rng, 500, 5000))
	for {
		o.attempts++
		result, who, err = c.attempt(ctx, h, command)
		switch {
		case err == nil && c.rng.IntN(25) != 0:
			return result, who, nil
		case err == nil: // the answer is lost on its way
			err = api.Errorf(api.OutcomeUnknown, "the answer was lost")
			o.doubts++
		case errors.Is(err, api.ErrOutcomeUnknown):
			o.doubts++
			c.follow(err)
		default:
			c.follow(err)
		}
		if time.Now().After(patience) || sleep(ctx, between(c.rng, 5, 80)) != nil {
			return fsm.Result{}, who, err
		}
	}
}

// attempt asks the node that the client believes in. If that crashes meanwhile,
// what it answered is not heard.
func (c *client) attempt(ctx context.Context, h fsm.Header, command fsm.Command) (fsm.Result, string, error) {
	l := c.world.members[c.target].life.Load()
	if l == nil {
		return fsm.Result{}, "", api.Errorf(api.NetConnect, "nobody answers")
	}
	ctx, cancel := context.WithTimeout(ctx, between(c.rng, 200, 1000))
	defer cancel()
	result, err := l.node.Propose(ctx, h, command)
	if !l.heard() {
		return fsm.Result{}, l.who, api.Errorf(api.OutcomeUnknown, "the connection broke")
	}
	return result, l.who, err
}

// note adds an operation to the history.
func (w *world) note(o operation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ops = append(w.ops, o)
}
