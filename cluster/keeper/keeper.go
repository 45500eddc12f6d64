package keeper

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/cluster/keeper/hook"
	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// Store is the replicated state (package cluster's Node). Errors are api
// errors: NotLeader and NoLeader mean that nothing was done, OutcomeUnknown
// that it may have been.
type Store interface {
	Propose(ctx context.Context, h fsm.Header, c fsm.Command) (fsm.Result, error)
	// ProposeInTerm proposes only as the leader of that term.
	ProposeInTerm(ctx context.Context, term uint64, h fsm.Header, c fsm.Command) (fsm.Result, error)
	// ProposeRowInTerm proposes commands of which each is decided on what the one
	// before it does, and returns the results of as many as were applied for sure.
	ProposeRowInTerm(ctx context.Context, term uint64, row ...fsm.Command) ([]fsm.Result, error)
	// Linearizable is the state with every write that was answered before: a
	// proof of leadership, by an entry that is proposed after the call.
	Linearizable(ctx context.Context) (*fsm.State, error)
	State() *fsm.State
	// Changed is closed when the state after State moved on.
	Changed() <-chan struct{}
}

// Group is the keeper's membership (package cluster's Node).
type Group interface {
	Status() api.NodeStatusAnswer
	Members() []api.Member
	TransferLeadership(ctx context.Context, to string) error
	// RemoveMember takes a keeper out of the group; NotLeader, when it was this
	// one, and leadership was handed over.
	RemoveMember(ctx context.Context, who string) error
	HandleDiscover(ctx context.Context, req api.KeeperDiscoverRequest) (api.KeeperDiscoverAnswer, error)
	HandleJoin(ctx context.Context, req api.KeeperJoinRequest) error
}

// Leadership runs duties while this keeper leads.
type Leadership interface {
	Leader() api.LeaderHint
	Lead(ctx context.Context, duties func(ctx context.Context, term uint64) error) error
}

// Peer calls one keeper, without redirect.
type Peer interface {
	CallAt(ctx context.Context, endpoint, name string, meta wire.Meta, body []byte) (*wire.Response, error)
}

// Config is what a Keeper is made with. Zero durations mean the defaults.
type Config struct {
	Store      Store
	Group      Group
	Leadership Leadership
	Peer       Peer // to forward op 0 to the leader
	Logger     hclog.Logger
	Version    string
	Dev        bool             // literal passwords are accepted in configurations
	Now        func() time.Time // the clock that stamps proposals; time.Now
	Hooks      []hook.Spec      // this keeper's own, run while it leads

	Lease             time.Duration // of a proxy or an agent, from the sending of its heartbeat; 2 s
	HeartbeatInterval time.Duration // what proxies and agents are told; a fifth of a lease
	LostAfter         time.Duration // silence after which one that is up is lost; 15 s
	RemoveAfter       time.Duration // silence after which a lost or ready one is removed; 25 s
	SessionIdle       time.Duration // after which a client session is forgotten; 1 h
	CallTimeout       time.Duration // of one request to a proxy or agent, beside what it waits for; 3 s
	PushTimeout       time.Duration // of one PushConfig; 20 s (original)
	VoteTimeout       time.Duration // of one ProxyVoteFetch; 8 s (original)
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	for _, d := range []struct {
		value  *time.Duration
		preset time.Duration
	}{
		{&c.Lease, lease.Default}, {&c.HeartbeatInterval, lease.For(cmp.Or(c.Lease, lease.Default)).Beat}, {&c.LostAfter, 15 * time.Second}, {&c.RemoveAfter, 25 * time.Second},
		{&c.SessionIdle, time.Hour}, {&c.CallTimeout, 3 * time.Second}, {&c.PushTimeout, 20 * time.Second}, {&c.VoteTimeout, 8 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.preset
		}
	}
	return c
}

// Validate refuses a configuration that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Store == nil || c.Group == nil || c.Leadership == nil || c.Peer == nil:
		return fmt.Errorf("keeper config: store, group, leadership and peer are needed")
	case c.HeartbeatInterval < 0 || c.SessionIdle < 0 || c.CallTimeout < 0 || c.PushTimeout < 0 || c.VoteTimeout < 0:
		return fmt.Errorf("keeper config: a duration is negative")
	case c.HeartbeatInterval > lease.For(c.Lease).Beat:
		return fmt.Errorf("keeper config: a heartbeat every %s, want at most %s for a lease of %s", c.HeartbeatInterval, lease.For(c.Lease).Beat, c.Lease)
	case c.LostAfter < 3*c.HeartbeatInterval || c.RemoveAfter < c.LostAfter:
		return fmt.Errorf("keeper config: lost after %s, removed after %s: want at least three heartbeats of %s, and the second not below the first", c.LostAfter, c.RemoveAfter, c.HeartbeatInterval)
	}
	if err := ValidateHooks(c.Hooks); err != nil {
		return fmt.Errorf("keeper config: %w", err)
	}
	if err := lease.For(c.Lease).Validate(); err != nil {
		return fmt.Errorf("keeper config: %w", err)
	}
	return nil
}

// Keeper answers the fleet and, while it leads, drives it.
type Keeper struct {
	cfg      Config
	log      hclog.Logger
	handlers wire.Handlers

	name     func() string // of this keeper; never changes
	memberID func() string
	waits    waits
	times    lease.Times

	proxies wire.InvokeRoute // by proxy key
	agents  wire.InvokeRoute // by datasource address

	term       atomic.Uint64 // that this keeper leads with its duties running, 0 otherwise
	presence   *presence
	leases     *leases
	proofs     *proofs
	pushes     *pushes
	frozen     frozen
	recordDue  chan struct{} // the record of a group is to be looked at now
	publishing chan struct{} // holds one token: versions are published one after the other

	mu      sync.Mutex
	drivers *drivers // of the running term, nil when this keeper does not lead

	backlog atomic.Int32 // background work under way

	refusals refusals // of switches that never began
	hooks    *hooks
}

// New makes a Keeper. It does nothing until Run, but answers at once.
func New(cfg Config) (*Keeper, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	k := &Keeper{
		cfg: cfg, log: cfg.Logger, waits: defaultWaits, times: lease.For(cfg.Lease), presence: newPresence(), leases: newLeases(), proofs: newProofs(), pushes: newPushes(), recordDue: make(chan struct{}, 1), publishing: make(chan struct{}, 1), hooks: newHooks(cfg.Hooks),
		name:     sync.OnceValue(func() string { return cfg.Group.Status().Name }),
		memberID: sync.OnceValue(func() string { return cfg.Group.Status().MemberID }),
	}
	k.handlers = k.handlerTable()
	return k, nil
}

// Handler answers every op-2 request.
func (k *Keeper) Handler() wire.Handler { return k.handlers.Serve }

// Run drives the fleet whenever this keeper leads, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	return k.cfg.Leadership.Lead(ctx, k.lead)
}

// leads fails unless this keeper leads and its duties run.
func (k *Keeper) leads() error {
	if k.term.Load() != 0 {
		return nil
	}
	hint := k.cfg.Leadership.Leader()
	if hint.ID == "" || hint.ID == k.memberID() {
		return api.Errorf(api.NoLeader, "no leader: the keepers are electing one, try again")
	}
	return notLeader(hint)
}
