package agent

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/faultpoint"
	"github.com/zerokeeper/zero/transport/wire"
)

// Agent is one zeroagent.
type Agent struct {
	cfg         Config
	log         hclog.Logger
	db          Database
	incarnation string
	handlers    wire.Handlers
	started     time.Time

	ahead sync.WaitGroup // rotateAhead, standByAhead, acknowledgeAgain
	owed  owed           // acknowledgements that may have been lost

	turn    turn   // of whoever changes the server's role, or the memory
	ordered string // the order that has the turn, empty when none has
	// notes is written with the turn and mu, so that either is enough to read it.
	notes *notebook
	conf  serverConf // with the turn

	look    chan struct{} // the server is to be asked now
	act     chan struct{} // there is something new to compare with the grants
	hurry   chan struct{} // a heartbeat is to be sent now
	beating atomic.Bool   // one is on its way
	looked  chan struct{} // closed when the server was asked for the first time

	lease      *holding
	failsafe   *failsafe
	promises   *promises
	peers      Peers              // of the other agents; nil: they are not reached
	boot       string             // the run of this machine
	attached   chan mysql.Process // the newest, for whoever waits for its end
	secured    chan struct{}      // closed when the server is not writable without a lease
	secureOnce sync.Once

	mu       sync.Mutex
	state    mysql.State       // as last asked, or as an action left it
	changes  uint64            // actions that left it as something else
	seen     bool              // it is as last asked
	trouble  error             // why the server could not be asked
	identity string            // of the server, as last seen
	alarm    string            // what needs a person, by the level
	unfit    string            // the same, when it keeps this server from becoming the primary
	warnings map[string]string // what else does
	errant   judged            // what it was when it had to be built anew
	pid      int               // of the server's process, 0: not known
	dead     bool              // the process is gone
	wasDead  bool              // and nothing was seen of it since
	mute     muteness          // since when it answers nothing
	bypassAt time.Time         // when the accounts were looked at
	heardOf  hearing           // when the server last heard of its source
	lag      int64             // behind its source, ms, as last known; -1: never
	grants   []api.Grant       // of the last answer
	moment   api.Moment        // of the last answer
	done     api.Moment        // of the newest answer that was acted on, completely
	unacked  unacked           // commits that wait for an acknowledgement
	interval time.Duration     // between heartbeats
	heard    bool              // a keeper answered since the start
	answered time.Time
	contact  time.Time // since when keepers answer without a silence
	diedAt   time.Time // when the server was last found dead
}

// Open makes an agent with the memory in its data directory, which belongs to
// it until Close. Errors are ErrForeign, durable.ErrInUse and
// durable.ErrDamaged, among others.
func Open(cfg Config) (*Agent, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	notes, err := openNotebook(cfg.DataDir, cfg.Database.Address())
	if err != nil {
		return nil, err
	}
	a := &Agent{
		cfg: cfg, log: cfg.Logger, db: cfg.Database, incarnation: newIncarnation(), notes: notes, started: time.Now(), interval: defaultBeat, lag: -1,
		look: make(chan struct{}, 1), act: make(chan struct{}, 1), looked: make(chan struct{}), hurry: make(chan struct{}, 1),
		attached: make(chan mysql.Process, 1), secured: make(chan struct{}), warnings: map[string]string{}, boot: bootID(),
	}
	a.lease = newHolding(func() { poke(a.hurry) })
	a.failsafe = newFailsafe(notes.memory)
	if a.promises, err = openPromises(cfg.DataDir, a.boot, notes.fresh); err != nil {
		return nil, errors.Join(err, notes.lock.Close())
	}
	a.lease.barred = a.promises.alive
	if pid, resumed := a.lease.resume(cfg.DataDir, a.boot, notes.memory); resumed { // R14: a planned restart without a blip
		a.pid = pid
		a.secure()
		a.log.Info("took up the lease of the process before", "stamp", notes.Stamp)
	}
	a.answered = a.started
	a.handlers = a.handlerTable()
	return a, nil
}

func newIncarnation() string {
	var random [8]byte
	rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// Close gives the data directory back. Run has returned by then.
func (a *Agent) Close() error { return a.notes.lock.Close() }

// Handler answers the keepers' orders.
func (a *Agent) Handler() wire.Handler { return a.handlers.Serve }

// Hello introduces the agent to a keeper.
func (a *Agent) Hello() api.HelloRequest {
	return api.HelloRequest{Version: api.ProtocolVersion, Role: api.RoleAgent, ID: a.cfg.ID, Incarnation: a.incarnation, Address: a.db.Address()}
}

// Ready reports whether the agent does its work: the server answers, and a
// keeper was heard. Silence tells of keepers that went away since.
func (a *Agent) Ready() error {
	v := a.View()
	switch {
	case v.Trouble != nil:
		return fmt.Errorf("the database server %s: %w", a.db.Address(), v.Trouble)
	case !v.Reachable:
		return fmt.Errorf("the database server %s was not asked yet", a.db.Address())
	case !v.Heard:
		return errors.New("no keeper has answered yet")
	}
	return nil
}

// View is what an agent knows, for health and metrics.
type View struct {
	Reachable bool  // the server answers
	Trouble   error // why not
	ReadOnly  bool
	Role      string        // what the server is: primary, replica or none; empty when it does not answer
	Alarm     string        // what needs a person
	Heard     bool          // a keeper answered since the start
	Silence   time.Duration // since a keeper answered
	Failsafe  FailsafeView
}

// View is how things stand.
func (a *Agent) View() View {
	failsafe := a.viewFailsafe()
	a.mu.Lock()
	defer a.mu.Unlock()
	return View{
		Failsafe:  failsafe,
		Reachable: a.state.Reachable, Trouble: a.trouble, ReadOnly: a.state.ReadOnly, Role: roleOf(a.state),
		Alarm: a.alarms(), Heard: a.heard, Silence: time.Since(a.answered),
	}
}

// remembered is the agent's memory.
func (a *Agent) remembered() memory {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.notes.memory
}

// remember replaces the memory, on the disk first. When that fails, the memory
// is what it was: nothing was promised. The turn is held.
func (a *Agent) remember(m memory) error {
	if m.Role == rolePrimary {
		m.Lent = 0
	} else {
		m.ReplicaSet, m.ReplicaVersion = "", 0 // R17: another reign has another set
	}
	// Both at once, for their syncs: clients may wait. A server that is started in
	// between by a crash of the host finds what its role before asked for; nothing was
	// answered then.
	var conf chan error
	if m.Role != a.notes.Role || m.lost() != a.notes.lost() {
		conf = make(chan error, 1)
		go func() { conf <- a.conf.write(a.cfg.ServerConf, m.lost()) }()
	}
	err := a.notes.write(m)
	if conf != nil {
		err = errors.Join(<-conf, err)
	}
	if err != nil {
		return err
	}
	a.mu.Lock()
	lost := m.lost() && !a.notes.lost()
	a.notes.memory = m
	a.mu.Unlock()
	if lost {
		a.againAsReplica()
	}
	if a.ordered != "" {
		faultpoint.Reach(point(a.ordered, "durable"))
	}
	return nil
}

// setAlarm records what needs a person; an empty text takes it back. It is told
// once.
func (a *Agent) setAlarm(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unfit = ""
	if text == a.alarm {
		return
	}
	if a.alarm = text; text != "" {
		a.log.Error("this server needs a person", "datasource", a.db.Address(), "alarm", text)
	} else {
		a.log.Info("alarm is over", "datasource", a.db.Address())
	}
}

// setUnfit is an alarm for which this server cannot become the primary, whatever
// happens to the one that is.
func (a *Agent) setUnfit(text string) {
	a.setAlarm(text)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unfit = text
}

// unfitness is why this server cannot become the primary. The caller holds a.mu.
func (a *Agent) unfitness() string { return cmp.Or(a.unfit, a.warnings[warnErrants]) }

// ask asks the server what it is, and keeps the answer for heartbeats, unless an
// action overtook it.
func (a *Agent) ask(ctx context.Context) (mysql.State, error) {
	bounded, cancel := context.WithTimeout(ctx, a.cfg.StateTimeout)
	defer cancel()
	a.mu.Lock()
	before := a.changes
	a.mu.Unlock()
	state, err := a.db.State(bounded)
	if err != nil && ctx.Err() != nil {
		return state, databaseError(err) // the caller gave up: that says nothing about the server
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trouble = err
	if err != nil {
		state.Reachable = false
	} else {
		a.identity = state.Identity
		a.heardOf.look(state.Replication)
	}
	switch {
	case err != nil:
		state.DataDir = a.state.DataDir
		a.state = state
	case a.changes == before:
		a.state, a.seen = state, true
		a.unacked.look(state.SemiSync, time.Now())
		if a.dead {
			a.dead, a.wasDead = false, true // something answers
		}
		if !state.ReadOnly {
			a.lease.suspect()
		}
	}
	return state, databaseError(err)
}

// lastState is what the server was when it was asked, or an action left it.
func (a *Agent) lastState() mysql.State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

// acted notes what an action left the server as, so that nobody need ask.
func (a *Agent) acted(change func(*mysql.State)) mysql.State {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changes++
	a.seen = false
	change(&a.state)
	return a.state
}

// roleOf is what a server is, by its replication.
func roleOf(s mysql.State) string {
	switch {
	case !s.Reachable:
		return ""
	case s.Replication != nil:
		return "replica"
	case s.ReadOnly:
		return "none"
	}
	return "primary"
}

// answer is what the keepers are told of the server.
func (a *Agent) answer(s mysql.State, binlog *api.Binlog) api.AgentState {
	a.mu.Lock()
	m, alarm, unfit, identity, dead := a.notes.memory, a.alarms(), a.unfitness(), a.identity, a.dead
	a.mu.Unlock()
	if identity == "" {
		identity = m.ServerID
	}
	answer := api.AgentState{
		Address: a.db.Address(), Incarnation: a.incarnation, ServerID: identity, Version: s.Version, ReadOnly: s.ReadOnly, Role: roleOf(s),
		LagSeconds: -1, Prepared: m.Prepared, Stamp: m.Stamp, Alarm: alarm, Unfit: unfit, SemiSync: semiSync(s.SemiSync), Binlog: binlog,
		Alive: s.Reachable && !dead, Dead: dead, Applied: s.GTIDSlavePos,
	}
	if r := s.Replication; r != nil {
		answer.Receiving, answer.Received = r.IORunning != "No", r.GtidIOPos
		answer.Source, answer.IORunning, answer.SQLRunning, answer.LagSeconds = r.Source(), r.IORunning, r.SQLRunning, r.SecondsBehind
		if err := r.Err(); err != nil {
			answer.Error = err.Error()
		}
	}
	return answer
}

func semiSync(s mysql.SemiSync) string {
	switch {
	case s.SourceEnabled && s.SourceActive:
		return fmt.Sprintf("source, %d replicas acknowledge", s.Clients)
	case s.SourceEnabled:
		return "source, waiting for no acknowledgement"
	case s.ReplicaActive:
		return "replica, acknowledging"
	case s.ReplicaEnabled:
		return "replica, not acknowledging"
	}
	return "off"
}

// poke makes something due now that c stands for.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
