package fsm

// The rows. Fields are append-only (package codec). Times are unix
// nanoseconds as the leader stamped them, durations nanoseconds.

// meta is the one row of what concerns the whole state.
type meta struct {
	ClusterID string
	Epoch     uint64 // cluster epoch: leads every stamp, raised by restore and recovery (R25)
	Feature   uint32 // feature level
	Sessions  int    // how many client sessions there are
	Brake     Hold   // on: no switch by itself in the whole cluster
}

// Member is a keeper.
type Member struct {
	ID           string
	Name         string
	Address      string // machine port, host:port
	HTTP         string
	Version      string
	FeatureLevel uint32
	Incarnation  string
}

// Proxy is a zeroproxy.
type Proxy struct {
	ID          string
	Cluster     string
	Address     string // its MySQL port
	Status      string // ready, up, lost or unreg
	Version     string
	Incarnation string
	ConfVersion string // the configuration it last acknowledged
	ConfError   string // why it refused the one after that
	Since       int64  // of the status
	Reason      string
}

// Agent is a zeroagent; its key is its datasource's address.
type Agent struct {
	Address     string
	ID          string
	Listen      string
	Version     string
	ServerID    string // identity of the database server (R24)
	Incarnation string
	Status      string // up or lost
	Since       int64
	Zone        string // where its host stands, as its options say
}

// Config is one version of a cluster's configuration.
type Config struct {
	Cluster  string
	ConfigID string // a.b.c
	Number   uint64 // 1, 2, 3 … within the cluster, for the order
	Content  []byte
	Digest   string // sha256 of Content, hex
	Time     int64
	Author   string
	Comment  string
	Of       string // the version that a rollback restored
}

// HostGroup is what the keepers hold of a host group: what is writable, and
// the stamp that orders everything said about it.
type HostGroup struct {
	Name        string
	Cluster     string
	Datasources []string // addresses; the index is the position
	Writable    int
	Generation  uint64 // of the last switch that was requested
	Step        uint8
	Committed   uint64 // generation of the last commit
	OpenSwitch  string
	LastSwitch  string
	LastEnd     int64 // when that one ended; the cooldown counts from it
	Settings    Settings
	Removed     bool // no configuration names it any more; its stamp is kept

	Frozen        string     // R25: why nobody may write to it until its primary is known again; empty: not frozen
	FrozenAt      uint64     // index of the entry that froze it
	Heard         uint64     // the highest generation that somebody reported since
	Decided       uint64     // cluster epoch in which it was thawed last
	Thawed        string     // how it was
	Maintenance   Hold       // on: no switch of this group by itself
	Pending       Pending    // a failover that is to be acknowledged
	Recorded      []Recorded // the replicas that may acknowledge (R17, R20)
	RecordVersion uint64     // index of the entry that last changed Recorded or Degraded
	Degraded      Degraded
}

// Settings are a group's rules of switching, parsed by the leader.
type Settings struct {
	EnableSwitch    bool
	NeedVote        bool
	VoteRatio       int // percent
	NeedLoadCheck   bool
	SafeLoad        int64 // thousandths
	NeedBinlogCheck bool
	SafeBinlogDelay int64 // bytes
	BinlogWait      int64
	Cooldown        int64
	DrainTimeout    int64
	FenceTimeout    int64
	PushWhenFail    bool
	AutoFailover    bool
	Policy          string   // lossless (also when empty) or available
	Probes          int      // that fail in a row before the primary counts as gone
	Prefer          []string // addresses, the best candidate first
	Never           []string // addresses that never become the primary by themselves
	AckAfter        int64    // after which a failover by itself counts as acknowledged; 0: none is waited for
	SafeLag         int64    // a candidate that is further behind is passed over; 0: not looked at
	Failsafe        bool     // agents may keep the primary writable without keepers (R18)
	HungAfter       int64    // for which a primary may hang before it counts as gone; 0: it never does
}

// Switch is the record of one switch.
type Switch struct {
	ID          string
	Group       string
	Cluster     string
	Kind        string // planned or failover
	From, To    int
	FromAddress string
	ToAddress   string
	FromServer  string // identities, when the agents reported them
	ToServer    string
	Reason      string
	RequestedBy string
	ByOperator  bool
	State       string
	Epoch       uint64
	Generation  uint64
	Number      uint64 // index of the request, for the order
	Members     []string
	Settings    Settings
	Steps       []Step
	Checks      []Check
	VoteRule    string
	Position    Position
	Incarnation string // of the prepared candidate's agent (R13)
	Abort       string // why an operator wants it undone
	Code        uint16
	Error       string

	Policy     string     // of a failover: PolicyLossless or PolicyAvailable
	Any        bool       // the keeper chooses To, for good at the commit
	Prepared   []Prepared // candidates (R13)
	Stopped    []Stopped  // how each proxy came to write no more
	Fenced     string     // how the old primary did
	Replicas   []Replica  // what each had when it stopped to receive (R19)
	MayBeLost  string     // what a commit under PolicyAvailable may lose
	Supersedes string     // the switch that it took the place of (R23)

	Warnings  []string     // what an operator was told when he asked for it
	Acked     Ack          // who took note of it
	Hooks     []HookResult // what became of its hooks
	HooksOpen bool         // hooks may still have to be run
}

// Prepared is a candidate whose agent confirmed that it is prepared.
type Prepared struct {
	Address     string
	Incarnation string
}

// Stopped is how one proxy came to write no more.
type Stopped struct {
	Proxy string
	How   string
	Note  string
}

// Replica is what one replica had when it stopped to receive.
type Replica struct {
	Address  string
	Stopped  bool
	Received string
	Note     string
}

// Policies of a failover.
const (
	PolicyLossless  = "lossless"
	PolicyAvailable = "available"
)

// Step is one state that a switch was in.
type Step struct {
	State string
	Time  int64
	Term  uint64
	Note  string
}

// Check is one rule that was examined.
type Check struct {
	Rule   string
	OK     bool
	Input  string
	Detail string
}

// Position is where the fenced primary stood.
type Position struct {
	File      string
	Pos       uint64
	GTIDPos   string
	GTIDState string
}

// Vote is a proxy's vote on a switch.
type Vote struct {
	Switch          string
	Proxy           string
	Vote            bool
	FromIndex       int
	ToIndex         int
	LastSuccess     int64 // 0: never
	Failures        int
	Error           string
	TargetReachable bool
	NoAnswer        string // why there is no vote
	Time            int64
}

// Section is a datum that an agent stored (seed 001).
type Section struct {
	ID        string
	Section   string
	Data      []byte
	Timestamp int64  // unix seconds; never goes back for a key
	Index     uint64 // of the write
	Version   uint64 // counts the writes of the key, from 1
}

// Session is a client's memory of what it asked, so that a retry happens once.
type Session struct {
	ID      string
	Acked   uint64
	Used    int64
	Replies []Reply // of sequences above Acked, ascending
}

// Reply is a remembered answer.
type Reply struct {
	Seq   uint64
	Index uint64
	Code  uint16
	Msg   string
	Data  []byte
}

// States of a switch, in order; the last two of the undo branch.
const (
	StateRequested   = "requested"
	StatePreflight   = "preflight"
	StateVoting      = "voting"
	StateStopping    = "stopping"
	StateFencing     = "fencing"
	StateCatchingUp  = "catching-up"
	StatePromoting   = "promoting" // from here on the commit has happened
	StateSwitching   = "switching"
	StateRecovering  = "recovering"
	StateRepointing  = "repointing"
	StateDone        = "done"
	StateRollingBack = "rolling-back"
	StateRolledBack  = "rolled-back"
	StateSuperseded  = "superseded" // after the commit, by a failover of what it committed (R23)
)

// Steps of a stamp (switch-safety R8).
const (
	StepRequested   uint8 = 0
	StepStopping    uint8 = 1
	StepFencing     uint8 = 2
	StepCatchingUp  uint8 = 3
	StepPromoting   uint8 = 4
	StepRollingBack uint8 = 5
	StepIdle        uint8 = 6
)
