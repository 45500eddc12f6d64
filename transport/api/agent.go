package api

// Names of arrow 3 (keeper to agent): the seed's two, then ours.
const (
	LoadFetch   = "LoadFetch"
	BinlogFetch = "BinlogFetch"

	StateFetch          = "StateFetch"
	PreflightDatasource = "PreflightDatasource"
	PrepareDatasource   = "PrepareDatasource"
	FenceDatasource     = "FenceDatasource"
	WaitPosition        = "WaitPosition"
	PromoteDatasource   = "PromoteDatasource"
	FollowDatasource    = "FollowDatasource"
	RestoreDatasource   = "RestoreDatasource"

	// Of a failover, in the order of its steps.
	StopReceivingDatasource = "StopReceivingDatasource"
	DrainDatasource         = "DrainDatasource"
	ResumeDatasource        = "ResumeDatasource"
)

// Roles of BinlogFetch.
const (
	BinlogMaster = "master"
	BinlogSlave  = "slave"
)

// LoadFetchRequest asks for the load of the database's host.
type LoadFetchRequest struct{}

// Load is the data of the answer.
type Load struct {
	Load1        float64 `json:"load1"` // the kernel's load averages
	Load5        float64 `json:"load5"`
	Load15       float64 `json:"load15"`
	Cores        int     `json:"cores"`        // logical
	MemTotal     uint64  `json:"memTotal"`     // bytes
	MemAvailable uint64  `json:"memAvailable"` // bytes
	DiskFree     uint64  `json:"diskFree"`     // bytes that mysqld may use on its data directory's file system
	Connections  int     `json:"connections"`  // of mysqld
}

// BinlogFetchRequest asks for a position: Role master is the server's own,
// slave is what it has executed of its source's.
type BinlogFetchRequest struct {
	Role string `json:"role"`
}

// Binlog is the data of the answer. File and Position are the seed's.
type Binlog struct {
	File     string `json:"file"`
	Position uint64 `json:"position"`

	GTIDBinlogPos   string `json:"gtidBinlogPos,omitempty"`
	GTIDBinlogState string `json:"gtidBinlogState,omitempty"`
	GTIDSlavePos    string `json:"gtidSlavePos,omitempty"`
	GTIDIOPos       string `json:"gtidIoPos,omitempty"`
}

// MySQLStatus is what an agent's heartbeat says of its database.
type MySQLStatus struct {
	Status    int    `json:"status"`    // 0 dead, 1 live
	Connected int    `json:"connected"` // threads
	Memory    uint64 `json:"memory"`    // bytes resident, 0 when unknown
}

// AgentHeartbeatRequest is arrow 4.
type AgentHeartbeatRequest struct {
	Address    string      `json:"address"` // of the datasource, as in the configuration
	MySQL      MySQLStatus `json:"mysql"`
	SystemInfo SystemInfo  `json:"systemInfo"`

	Seq         uint64 `json:"seq,omitempty"`
	Incarnation string `json:"incarnation,omitempty"`
	Listen      string `json:"listen,omitempty"`
	Version     string `json:"version,omitempty"`
	ServerID    string `json:"serverId,omitempty"`
	ReadOnly    bool   `json:"readOnly,omitempty"`
	Role        string `json:"role,omitempty"` // what the server is: primary, replica, none
	Stamp       Stamp  `json:"stamp,omitzero"` // highest seen (R25)
	HostGroup   string `json:"hostGroup,omitempty"`
	Alarm       string `json:"alarm,omitempty"` // what needs a person, empty when nothing does
	Unfit       string `json:"unfit,omitempty"` // why it cannot become the primary, whatever else; empty when nothing is known

	// Dead: the server's process is confirmed gone, and nothing but its agent will
	// start it. One that is slow, hung or unreachable is not dead.
	Dead bool `json:"dead,omitempty"`
	// What a replica says of the server that it replicates from.
	Source    string `json:"source,omitempty"`    // its address
	Receiving bool   `json:"receiving,omitempty"` // the IO thread is connected to it
	HeardMS   int64  `json:"heardMs,omitempty"`   // since it last sent anything (its own heartbeats count); -1 when unknown
	Received  string `json:"received,omitempty"`  // GTID position up to which events are in the relay log
	Applied   string `json:"applied,omitempty"`   // GTID position up to which they are executed
	LagMS     int64  `json:"lagMs,omitempty"`     // -1 when unknown

	// HungMS: the server's process is there, and for so long has answered nothing at
	// all, not even a greeting to a new connection; 0: it answers, or is dead.
	HungMS int64 `json:"hungMs,omitempty"`

	// What it remembers of the group's last commit (R25): its generation, and whom
	// it made the primary.
	Committed uint64   `json:"committed,omitempty"`
	Primary   string   `json:"primary,omitempty"`
	LastLagMS int64    `json:"lastLagMs,omitempty"` // as it was last known, also when the source is gone; -1 when never
	Zone      string   `json:"zone,omitempty"`      // where its host stands
	SemiSync  SemiSync `json:"semiSync,omitzero"`
	Position  string   `json:"position,omitempty"` // GTID position of its own binary log
	// Of a primary: the replica set that its agent has stored durably (R17), and the
	// version of the record that it is from.
	ReplicaSet     []string `json:"replicaSet,omitempty"`
	ReplicaVersion uint64   `json:"replicaVersion,omitempty"`
}

// StateFetchRequest asks an agent for the whole state of its server.
type StateFetchRequest struct{}

// AgentState is the answer to StateFetch and to every order of a switch: what
// the server is after it.
type AgentState struct {
	Address     string  `json:"address"`
	Incarnation string  `json:"incarnation"`
	ServerID    string  `json:"serverId"`
	Version     string  `json:"version"`
	ReadOnly    bool    `json:"readOnly"`
	Role        string  `json:"role"` // primary, replica or none
	Source      string  `json:"source,omitempty"`
	IORunning   string  `json:"ioRunning,omitempty"`
	SQLRunning  string  `json:"sqlRunning,omitempty"`
	LagSeconds  int64   `json:"lagSeconds"` // -1 when unknown
	Error       string  `json:"error,omitempty"`
	Prepared    uint64  `json:"prepared,omitempty"` // generation
	Stamp       Stamp   `json:"stamp"`
	Binlog      *Binlog `json:"binlog,omitempty"`
	SemiSync    string  `json:"semiSync,omitempty"`
	Alarm       string  `json:"alarm,omitempty"`
	Unfit       string  `json:"unfit,omitempty"` // why it cannot become the primary, whatever else

	// Alive: the server answers. Dead: its process is confirmed gone. Neither: not
	// known (it hangs, or the agent cannot say). Both are never true.
	Alive     bool   `json:"mysqldAlive,omitempty"`
	Dead      bool   `json:"dead,omitempty"`
	Receiving bool   `json:"receiving,omitempty"` // the IO thread runs or may start by itself
	Outside   bool   `json:"outside,omitempty"`   // answer to StopReceiving: it does not replicate, Binlog has all that it has
	Received  string `json:"received,omitempty"`  // GTID position up to which events are in the relay log
	Applied   string `json:"applied,omitempty"`   // GTID position up to which they are executed
}

// Check is one rule of a preflight with its input and verdict.
type Check struct {
	Rule   string `json:"rule"`
	OK     bool   `json:"ok"`
	Input  string `json:"input"`
	Detail string `json:"detail,omitempty"`
}

// PreflightDatasourceRequest asks an agent to examine its server as the
// primary that will be left or as the candidate.
type PreflightDatasourceRequest struct {
	HostGroup string     `json:"hostGroup"`
	Role      string     `json:"role"`    // BinlogMaster or BinlogSlave
	Primary   Datasource `json:"primary"` // whom the candidate must replicate from
	MaxLagMS  int64      `json:"maxLagMs,omitempty"`
	// Peers are the identities of the group's other servers, by address.
	Peers map[string]string `json:"peers,omitempty"`
	// PrimaryVersion is for the candidate, CandidateState for the primary: the
	// candidate's gtid_binlog_state, read before the primary's own.
	PrimaryVersion string `json:"primaryVersion,omitempty"`
	CandidateState string `json:"candidateState,omitempty"`
}

// PreflightAnswer is its data.
type PreflightAnswer struct {
	State  AgentState `json:"state"`
	Checks []Check    `json:"checks"`
}

// PrepareDatasourceRequest readies the candidate (R13). The answer's state has
// its incarnation.
type PrepareDatasourceRequest struct {
	HostGroup string     `json:"hostGroup"`
	Candidate Datasource `json:"candidate"`
	LeaseMS   int64      `json:"leaseMs,omitempty"` // of the keepers: an agent without a memory prepares nothing until what it may have promised is over (R16)
}

// FenceDatasourceRequest makes the old primary read-only within BoundMS. The
// answer's state confirms it: ReadOnly, or Dead with the promise that the server
// comes up read-only.
type FenceDatasourceRequest struct {
	HostGroup string     `json:"hostGroup"`
	Primary   Datasource `json:"primary"`
	BoundMS   int64      `json:"boundMs"`
	// Kill: in a failover a server that is not read-only within the bound is
	// killed. In a planned switch it never is: a timeout rolls back.
	Kill bool `json:"kill,omitempty"`
}

// WaitPositionRequest waits until the server has applied GTID.
type WaitPositionRequest struct {
	HostGroup string     `json:"hostGroup"`
	Candidate Datasource `json:"candidate"`
	GTID      string     `json:"gtid"`  // the old primary's gtid_binlog_pos
	State     string     `json:"state"` // its gtid_binlog_state, for the superset test
	TimeoutMS int64      `json:"timeoutMs"`
}

// PromoteDatasourceRequest tells the new primary that the commit happened.
type PromoteDatasourceRequest struct {
	HostGroup  string     `json:"hostGroup"`
	Primary    Datasource `json:"primary"`
	ReplicaSet []string   `json:"replicaSet"` // the recorded replicas (R17), and the version of their record

	ReplicaVersion uint64 `json:"replicaVersion,omitempty"`
}

// FollowDatasourceRequest makes the server a replica of Primary.
type FollowDatasourceRequest struct {
	HostGroup string     `json:"hostGroup"`
	Replica   Datasource `json:"replica"`
	Primary   Datasource `json:"primary"`
	// Acknowledge: the record names the replica, it may acknowledge (R20).
	Acknowledge bool `json:"acknowledge,omitempty"`
}

// RestoreDatasourceRequest re-opens the old primary of a switch that is rolled
// back; its agent obeys only in the step rolling-back of the same generation.
type RestoreDatasourceRequest struct {
	HostGroup string     `json:"hostGroup"`
	Primary   Datasource `json:"primary"`
}

// StopReceivingDatasourceRequest stops the replication's IO thread for good,
// until FollowDatasource or ResumeDatasource (R19). The answer's state has
// Receiving false, and Received and Applied read after it stopped.
type StopReceivingDatasourceRequest struct {
	HostGroup string     `json:"hostGroup"`
	Primary   Datasource `json:"primary"` // from which it no longer receives
}

// DrainDatasourceRequest applies everything that was received. The answer's
// state has Applied equal to Received.
type DrainDatasourceRequest struct {
	HostGroup string     `json:"hostGroup"`
	Candidate Datasource `json:"candidate"`
	TimeoutMS int64      `json:"timeoutMs"`
}

// ResumeDatasourceRequest receives from the primary again: the failover was
// rolled back.
type ResumeDatasourceRequest struct {
	HostGroup string     `json:"hostGroup"`
	Primary   Datasource `json:"primary"`
}
