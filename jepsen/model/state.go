package model

// Bounds of the arrays. A scope uses the first so many of each.
const (
	maxProxies     = 2
	maxServers     = 3
	maxGenerations = 4 // generation 1 is the initial state, so up to three switches
)

// Step is where a switch stands. The numbers are those of the stamps in the wire.
type Step uint8

// The steps. Promoting and RollingBack exclude each other.
const (
	Stopping Step = iota + 1
	Fencing
	CatchingUp
	Promoting // the commit point is passed
	RollingBack
	Idle // done, or rolled back
)

var stepNames = [...]string{"-", "stopping", "fencing", "catching-up", "promoting", "rolling-back", "idle"}

// String is the step's name as in the records of switches.
func (s Step) String() string { return stepNames[s] }

// Stamp is (generation, step), and orders everything that keepers say.
type Stamp uint8

func stamp(gen uint8, step Step) Stamp { return Stamp(gen<<3) | Stamp(step) }

func (s Stamp) gen() uint8 { return uint8(s >> 3) }
func (s Stamp) step() Step { return Step(s & 7) }

// bits is a set of proxies, servers or writes.
type bits uint8

func (b bits) has(i uint8) bool      { return b>>i&1 == 1 }
func (b bits) with(i uint8) bits     { return b | 1<<i }
func (b bits) without(i uint8) bits  { return b &^ (1 << i) }
func (b bits) lacks(other bits) bool { return other&^b != 0 }

// Process is what has become of an agent.
type Process uint8

// What an agent's process can be.
const (
	Running Process = iota
	Paused          // SIGSTOP: does nothing, its clocks go on
	Dead            // the process is gone, its mysqld stays
	Woken           // just resumed or started, before its first check
)

// outcome is a set of what has happened in a generation: which of its messages may still be under way.
type outcome uint8

const (
	fenced outcome = 1 << iota
	committed
	rolledBack
	completed
)

// Record is the replicated record of the host group, as a leader knows it.
type Record struct {
	Gen             uint8
	Step            Step
	Primary, Target uint8
	CommitGen       uint8 // generation of the last commit
}

// Grant is the answer to a heartbeat, on its way. The zero Stamp is a bare lease, which says nothing about the group.
type Grant struct {
	Left      uint8 // what remains of the lease, counted from the sending of the heartbeat
	Stamp     Stamp
	Index     uint8
	CommitGen uint8
	Open      bool // to a proxy "may write", to an agent "is the primary"
	Drain     bool // to a proxy: held, and what is in flight may go on
}

// Countdowns are a leader's own: while one is not zero, its holder may have a lease.
type Countdowns struct {
	Proxy [maxProxies]uint8
	Agent [maxServers]uint8
}

// Answers are what the leader knows to be done. They are facts: a later leader may use them as well.
type Answers struct {
	Stopped, Reopened          bits // proxies
	IOStopped                  bits // replicas
	Fenced, Prepared, Promoted bool
}

// Deposed is a leader that does not know that another was elected. It goes on with what it knew.
type Deposed struct {
	Exists bool
	Record Record
	Counts Countdowns
}

// Phase is how far a write got.
type Phase uint8

// The phases of a write.
const (
	NoWrite  Phase = iota
	Checked        // the lease was looked at
	Sent           // to the server
	InBinlog       // of the server
	Answered       // OK is on its way back to the proxy
)

// Write is the write that is under way in a proxy.
type Write struct {
	Phase            Phase
	Index, CommitGen uint8 // the server, and the generation of its commit when the write was checked
	ID               uint8
}

// Proxy is a proxy: what it last learnt, its lease, and its write.
type Proxy struct {
	Stamp     Stamp // the highest seen since the start
	Index     uint8
	CommitGen uint8
	Open      bool
	Lease     uint8
	Grant     Grant // under way to it
	Write     Write
}

// Server is a database with its agent.
type Server struct {
	Process  Process
	ReadOnly bool

	// On disk.
	Stamp      Stamp // the highest seen
	Primary    bool  // "my server is the primary"
	CommitGen  uint8
	ReplicaSet bits // whose promises failsafe needs

	Lease uint8
	Armed bool // the end of a lease makes the server read-only; without StartFence only after a lease was held

	Failsafe, Round uint8 // lease of failsafe; time left of the round under way
	Promised        bits  // who promised in that round
	Lent            uint8 // time until every lent lease has ended
	Promise         uint8 // time left of the promise it gave
	Prepared        uint8 // the generation that it is prepared for, or 0

	Grant    Grant // under way to it, with the replica set GrantSet
	GrantSet bits

	Source      uint8 // which server it replicates from; itself: from none
	IORunning   bool
	Transaction bits // the writes in its log
}

// Budget is what may still happen.
type Budget struct {
	Switches, Writes             uint8
	Elections                    uint8
	AgentFaults                  uint8 // pauses and crashes
	ProxyRestarts, MysqlRestarts uint8
	Registrations                uint8 // and removals
}

// State is the whole system. It holds no pointers and no padding: it is compared and hashed as it lies in memory.
type State struct {
	Record     Record
	History    [maxGenerations + 1]outcome
	From, To   [maxGenerations + 1]uint8 // of each generation's switch
	Registered bits                      // proxies
	Electable  bits                      // servers that may be promoted
	Joining    bits                      // servers that wait to be electable
	Answers    Answers
	Counts     Countdowns
	Deposed    Deposed
	Proxies    [maxProxies]Proxy
	Servers    [maxServers]Server
	Safe       bits // writes that clients were told are safe
	Budget     Budget
}
