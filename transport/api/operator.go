package api

import "time"

// What an operator's zeroctl asks a keeper. Reads are linearizable unless
// MetaConsistency says otherwise; a follower answers NotLeader to all but
// stale reads and NodeStatus.
const (
	NodeStatus      = "NodeStatus" // of the keeper asked, leader or not
	ClusterView     = "ClusterView"
	MemberList      = "MemberList"
	MemberRemove    = "MemberRemove"
	LeaderTransfer  = "LeaderTransfer"
	ConfigPush      = "ConfigPush"
	ConfigList      = "ConfigList"
	ConfigShow      = "ConfigShow"
	ConfigRollback  = "ConfigRollback"
	GroupList       = "GroupList"
	GroupThaw       = "GroupThaw"
	ProxyList       = "ProxyList"
	ProxyActivate   = "ProxyActivate"
	ProxyDrop       = "ProxyDrop"
	AgentList       = "AgentList"
	AgentLoad       = "AgentLoad"
	AgentBinlog     = "AgentBinlog"
	AgentStateFetch = "AgentStateFetch"
	SectionGet      = "SectionGet"
	SectionPut      = "SectionPut"
	SwitchStart     = "SwitchStart"
	SwitchList      = "SwitchList"
	SwitchShow      = "SwitchShow"
	SwitchAbort     = "SwitchAbort"
	SnapshotSave    = "SnapshotSave"

	GroupMaintenance = "GroupMaintenance"
	BrakeSet         = "BrakeSet"
	SwitchAck        = "SwitchAck"
	SwitchDryRun     = "SwitchDryRun" // of a SwitchStartRequest
	ReplicaDrop      = "ReplicaDrop"
)

// What keepers ask each other. SectionForward is an op-0 request that a follower
// passes on to the leader; body and data are op 0's own payloads (package wire),
// "query" or "update" is its metadata MetaCommand.
const (
	KeeperDiscover = "KeeperDiscover"
	KeeperJoin     = "KeeperJoin"
	SectionForward = "SectionForward"
)

// NodeStatusAnswer is one keeper's own view.
type NodeStatusAnswer struct {
	ClusterID string     `json:"clusterId"`
	MemberID  string     `json:"memberId"`
	Name      string     `json:"name"`
	Version   string     `json:"version"`
	Address   string     `json:"address"`
	HTTP      string     `json:"http"`
	State     string     `json:"state"` // leader, follower, candidate, shutdown
	Leader    LeaderHint `json:"leader"`
	Term      uint64     `json:"term"`
	Index     uint64     `json:"index"` // applied
	Commit    uint64     `json:"commit"`
	Ready     bool       `json:"ready"`
	Recorded  bool       `json:"recorded"` // the group knows of this start
	Hash      string     `json:"hash"`     // of the state at HashIndex
	HashIndex uint64     `json:"hashIndex"`
	DiskFree  uint64     `json:"diskFree,omitempty"` // bytes on the volume of its data directory
	DiskLow   bool       `json:"diskLow,omitempty"`  // it refuses clients' writes
	MarkHash  string     `json:"markHash,omitempty"` // of the state at MarkIndex, the newest moment that keepers compare
	MarkIndex uint64     `json:"markIndex,omitempty"`
}

// Member is one keeper of the group.
type Member struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Address string `json:"address"`
	HTTP    string `json:"http"`
	Version string `json:"version"`
	Voter   bool   `json:"voter"`
	Leader  bool   `json:"leader"`
}

// MemberListAnswer lists the group.
type MemberListAnswer struct {
	Members []Member `json:"members"`
}

// MemberRemoveRequest takes a keeper (a member's id, name or address) out of the
// group for good. A leader that is to be removed hands leadership over first and
// answers NotLeader.
type MemberRemoveRequest struct {
	Member string `json:"member"`
}

// LeaderTransferRequest moves leadership to To (a member's id, name or
// address), or to the most advanced follower when To is empty.
type LeaderTransferRequest struct {
	To string `json:"to,omitempty"`
}

// ClusterViewAnswer is what `zeroctl status` shows.
type ClusterViewAnswer struct {
	ClusterID string   `json:"clusterId"`
	Epoch     uint64   `json:"epoch"`
	Leader    Member   `json:"leader"`
	Members   []Member `json:"members"`
	Groups    []Group  `json:"groups"`
	Proxies   []Proxy  `json:"proxies"`
	Agents    []Agent  `json:"agents"`
	Problems  []string `json:"problems"` // what an operator should look at
	Brake     *Hold    `json:"brake,omitempty"`
}

// Group is a host group as the keepers know it.
type Group struct {
	Name        string        `json:"name"`
	Cluster     string        `json:"cluster"`
	Writable    int           `json:"writable"`
	Primary     string        `json:"primary"` // address of the writable datasource
	Datasources []GroupMember `json:"datasources"`
	Stamp       Stamp         `json:"stamp"`
	Committed   uint64        `json:"committed"`
	OpenSwitch  string        `json:"openSwitch,omitempty"`
	LastSwitch  string        `json:"lastSwitch,omitempty"`

	HungAfterMS int64 `json:"hungAfterMs,omitempty"` // for which its primary may hang before it is replaced; 0: for ever

	Frozen         string       `json:"frozen,omitempty"` // R25: why nobody may write to it until its primary is known again
	Waits          []string     `json:"waits,omitempty"`  // what a frozen group waits for, as the leader has it
	Thawed         string       `json:"thawed,omitempty"` // how it was the last time
	Maintenance    *Hold        `json:"maintenance,omitempty"`
	Brake          *Hold        `json:"brake,omitempty"` // of the whole cluster
	CooldownLeftMS int64        `json:"cooldownLeftMs,omitempty"`
	AckPending     *PendingAck  `json:"ackPending,omitempty"`
	Detail         *GroupDetail `json:"detail,omitempty"`   // when the group was asked for by name
	Policy         string       `json:"policy,omitempty"`   // PolicyLossless or PolicyAvailable
	Degraded       *Degraded    `json:"degraded,omitempty"` // nil: commits wait for an acknowledgement
	Failsafe       bool         `json:"failsafe,omitempty"` // agents may keep the primary writable without keepers
}

// GroupMember is one datasource of a group.
type GroupMember struct {
	Index    int    `json:"index"`
	Address  string `json:"address"`
	ServerID string `json:"serverId,omitempty"`
	Role     string `json:"role"`  // as its agent last said
	Agent    string `json:"agent"` // status of its agent, "none" without one
	ReadOnly bool   `json:"readOnly"`
	Alarm    string `json:"alarm,omitempty"`
	Says     string `json:"says,omitempty"`    // while the group is frozen: what its agent knows of the primary
	Replica  string `json:"replica,omitempty"` // state of a recorded replica
	Listen   string `json:"listen,omitempty"`  // where its agent listens for the group's other machines
}

// Proxy is a proxy as the keepers know it.
type Proxy struct {
	ID          string     `json:"id"`
	Cluster     string     `json:"cluster"`
	Address     string     `json:"address"`
	Status      string     `json:"status"`
	ConfVersion string     `json:"confVersion"`
	ConfError   string     `json:"confError,omitempty"`
	Version     string     `json:"version"`
	Connected   bool       `json:"connected"`
	SystemInfo  SystemInfo `json:"systemInfo"`
	AgeMS       int64      `json:"ageMs"` // since its last heartbeat, -1 when none came to this leader
}

// Agent is an agent as the keepers know it.
type Agent struct {
	ID         string      `json:"id"`
	Address    string      `json:"address"`
	Status     string      `json:"status"`
	Version    string      `json:"version"`
	ServerID   string      `json:"serverId,omitempty"`
	Role       string      `json:"role"`
	ReadOnly   bool        `json:"readOnly"`
	Alarm      string      `json:"alarm,omitempty"`
	Zone       string      `json:"zone,omitempty"`
	Connected  bool        `json:"connected"`
	MySQL      MySQLStatus `json:"mysql"`
	SystemInfo SystemInfo  `json:"systemInfo"`
	AgeMS      int64       `json:"ageMs"`
}

// Page bounds a list: Limit 0 is 500, at most 5000; Cursor is the answer's Next.
type Page struct {
	Limit  int    `json:"limit,omitempty"`
	Cursor string `json:"cursor,omitempty"`
}

// GroupListRequest lists host groups; Name picks one.
type GroupListRequest struct {
	Name string `json:"name,omitempty"`
	Page
}

// GroupListAnswer is its data.
type GroupListAnswer struct {
	Groups []Group `json:"groups"`
	Next   string  `json:"next,omitempty"`
}

// GroupThawRequest is an operator's decision who the primary of a frozen group is.
// Without Apply the answer only says what is known and what it would mean.
type GroupThawRequest struct {
	HostGroup string `json:"hostGroup"`
	Primary   string `json:"primary"` // address
	Reason    string `json:"reason,omitempty"`
	Apply     bool   `json:"apply,omitempty"`
}

// GroupThawAnswer is its data.
type GroupThawAnswer struct {
	Done     bool           `json:"done"`
	Frozen   string         `json:"frozen,omitempty"` // why it is, or was
	Waits    []string       `json:"waits,omitempty"`  // what the keepers would wait for
	Agents   []GroupWitness `json:"agents,omitempty"`
	Warnings []string       `json:"warnings,omitempty"` // what speaks against that primary
}

// GroupWitness is what the agent of a datasource knows.
type GroupWitness struct {
	Address string `json:"address"`
	Says    string `json:"says"`
}

// ProxyListRequest lists proxies.
type ProxyListRequest struct{ Page }

// ProxyListAnswer is its data.
type ProxyListAnswer struct {
	Proxies []Proxy `json:"proxies"`
	Next    string  `json:"next,omitempty"`
}

// ProxyRef names a proxy by id.
type ProxyRef struct {
	ID     string `json:"id"`
	Reason string `json:"reason,omitempty"`
	Force  bool   `json:"force,omitempty"`
}

// AgentListRequest lists agents.
type AgentListRequest struct{ Page }

// AgentListAnswer is its data.
type AgentListAnswer struct {
	Agents []Agent `json:"agents"`
	Next   string  `json:"next,omitempty"`
}

// AgentRef names an agent by its datasource's address; Role is for AgentBinlog.
// The data of AgentLoad, AgentBinlog and AgentStateFetch is the agent's own
// answer: Load, Binlog, AgentState.
type AgentRef struct {
	Address string `json:"address"`
	Role    string `json:"role,omitempty"`
}

// ConfigPushRequest publishes a configuration. The answer comes when every
// connected proxy has applied or refused it, or when Wait is over.
type ConfigPushRequest struct {
	Content string `json:"content"`
	Comment string `json:"comment,omitempty"`
	Edit    bool   `json:"edit,omitempty"`   // a single edit: the version's last digit rises
	Expect  string `json:"expect,omitempty"` // refuse unless this is the live version
	WaitMS  int64  `json:"waitMs,omitempty"` // 0 is 10 s
}

// ConfigPushAnswer says what became of a push or a rollback.
type ConfigPushAnswer struct {
	ConfigID   string     `json:"configId"`
	Cluster    string     `json:"cluster"`
	Warnings   []string   `json:"warnings,omitempty"`
	Proxies    []ProxyAck `json:"proxies"`
	RolledBack string     `json:"rolledBack,omitempty"` // the version that replaced it, when a proxy refused it
}

// ProxyAck is one proxy's acknowledgement of a version.
type ProxyAck struct {
	ID      string `json:"id"`
	Applied bool   `json:"applied"`
	Error   string `json:"error,omitempty"`
}

// ConfigListRequest lists the versions of a cluster, newest first. An empty
// cluster means the only one there is.
type ConfigListRequest struct {
	Cluster string `json:"cluster,omitempty"`
	Page
}

// ConfigListAnswer is its data.
type ConfigListAnswer struct {
	Configs []ConfigInfo `json:"configs"`
	Next    string       `json:"next,omitempty"`
}

// ConfigInfo describes one version.
type ConfigInfo struct {
	Cluster  string    `json:"cluster"`
	ConfigID string    `json:"configId"`
	Live     bool      `json:"live"`
	Time     time.Time `json:"time"`
	Author   string    `json:"author,omitempty"`
	Comment  string    `json:"comment,omitempty"`
	Digest   string    `json:"digest"`       // sha256 of the content, hex
	Of       string    `json:"of,omitempty"` // the version whose content a rollback restored
	Size     int       `json:"size"`         // bytes
}

// ConfigShowRequest asks for one version; an empty ConfigID is the live one.
type ConfigShowRequest struct {
	Cluster  string `json:"cluster,omitempty"`
	ConfigID string `json:"configId,omitempty"`
}

// ConfigShowAnswer is its data.
type ConfigShowAnswer struct {
	ConfigInfo
	Content string     `json:"content"`
	Proxies []ProxyAck `json:"proxies,omitempty"`
}

// ConfigRollbackRequest publishes the content of an older version as a new
// one; an empty ConfigID is the version before the live one.
type ConfigRollbackRequest struct {
	Cluster  string `json:"cluster,omitempty"`
	ConfigID string `json:"configId,omitempty"`
	Comment  string `json:"comment,omitempty"`
	WaitMS   int64  `json:"waitMs,omitempty"`
}

// SectionRequest names a section. Data and Version are for SectionPut; both
// keys and data are arbitrary bytes and travel in base64.
type SectionRequest struct {
	ID      []byte  `json:"id"`
	Section []byte  `json:"section"`
	Data    []byte  `json:"data,omitempty"`
	Version *uint64 `json:"version,omitempty"` // refuse with Conflict unless it is at this version; 0: unless there is none
}

// SectionPutAnswer is the data of SectionPut.
type SectionPutAnswer struct {
	Version uint64 `json:"version"`
	Index   uint64 `json:"index"` // of the write
}

// SectionAnswer is the data of SectionGet.
type SectionAnswer struct {
	Timestamp int64  `json:"timestamp"` // unix seconds, set by the leader at the write
	Data      []byte `json:"data"`
	Index     uint64 `json:"index"`   // of the write
	Version   uint64 `json:"version"` // counts the writes of the section, from 1
}

// SwitchStartRequest asks for a switch. The answer comes when it is accepted;
// its progress is in SwitchShow.
type SwitchStartRequest struct {
	HostGroup string `json:"hostGroup"`
	FromIndex *int   `json:"fromIndex,omitempty"` // refuse unless this is the writable
	ToIndex   int    `json:"toIndex"`             // AnyIndex: the keeper chooses (in a failover)
	Reason    string `json:"reason"`
	// Kind is KindPlanned (also when empty) or KindFailover. A failover supersedes
	// an open switch that has passed its commit point (R23).
	Kind string `json:"kind,omitempty"`
	// Policy overrides the group's, for this failover.
	Policy string `json:"policy,omitempty"`
}

// SwitchRef names a switch.
type SwitchRef struct {
	ID     string `json:"id"`
	Reason string `json:"reason,omitempty"` // of an abort or an acknowledgement
}

// SwitchListRequest lists switches, newest first.
type SwitchListRequest struct {
	HostGroup string `json:"hostGroup,omitempty"`
	Page
}

// SwitchListAnswer is its data.
type SwitchListAnswer struct {
	Switches []Switch `json:"switches"`
	Next     string   `json:"next,omitempty"`
}

// Switch is a switch's record.
type Switch struct {
	ID          string       `json:"id"`
	HostGroup   string       `json:"hostGroup"`
	Cluster     string       `json:"cluster"`
	Kind        string       `json:"kind"` // planned or failover
	FromIndex   int          `json:"fromIndex"`
	ToIndex     int          `json:"toIndex"`
	From        string       `json:"from"` // address
	To          string       `json:"to"`
	Reason      string       `json:"reason"`
	RequestedBy string       `json:"requestedBy"`
	State       string       `json:"state"`
	Generation  uint64       `json:"generation"`
	Steps       []SwitchStep `json:"steps"`
	Checks      []Check      `json:"checks,omitempty"`
	Votes       []SwitchVote `json:"votes,omitempty"`
	VoteRule    string       `json:"voteRule,omitempty"` // skipped: operator, skipped: config, or what was needed
	Position    *Binlog      `json:"position,omitempty"` // of the fenced primary
	Policy      string       `json:"policy,omitempty"`   // of a failover
	// Proxies says how each proxy came to write no more, Fenced how the old primary
	// did: FencedConfirmed, FencedDead or LeaseOut.
	Proxies    []SwitchProxy   `json:"proxies,omitempty"`
	Fenced     string          `json:"fenced,omitempty"`
	Replicas   []SwitchReplica `json:"replicas,omitempty"` // of a failover: what each had received
	MayBeLost  string          `json:"mayBeLost,omitempty"`
	Supersedes string          `json:"supersedes,omitempty"` // the switch that it took the place of (R23)
	Open       bool            `json:"open"`
	Code       Code            `json:"code"` // of the outcome; OK while open and when done
	Error      string          `json:"error,omitempty"`
	BlackoutMS float64         `json:"blackoutMs,omitempty"` // from stopping to recovering, as the leaders stamped it
	TotalMS    float64         `json:"totalMs"`

	Warnings   []string     `json:"warnings,omitempty"` // what the operator was told who asked for it
	Ack        *Ack         `json:"ack,omitempty"`
	AckPending *PendingAck  `json:"ackPending,omitempty"`
	Hooks      []SwitchHook `json:"hooks,omitempty"`
}

// SwitchStep is one step with its time and outcome.
type SwitchStep struct {
	State  string    `json:"state"`
	Time   time.Time `json:"time"`
	TookMS float64   `json:"tookMs"`
	Term   uint64    `json:"term"`
	Note   string    `json:"note,omitempty"`
}

// SwitchVote is one proxy's vote.
type SwitchVote struct {
	Proxy string `json:"proxy"`
	ProxyVote
	NoAnswer string `json:"noAnswer,omitempty"`
}

// SwitchStarted is the data of SwitchStart.
type SwitchStarted struct {
	ID         string `json:"id"`
	Generation uint64 `json:"generation"`
}

// SnapshotSaveRequest asks the leader for a snapshot of the state; the data of
// the answer is the snapshot itself (package fsm's format) in base64.
type SnapshotSaveRequest struct{}

// SnapshotSaveAnswer is its data.
type SnapshotSaveAnswer struct {
	Index    uint64 `json:"index"`
	Term     uint64 `json:"term"`
	Hash     string `json:"hash"`
	Snapshot []byte `json:"snapshot"`
}

// KeeperDiscoverRequest asks a keeper who it is, before there is a group.
type KeeperDiscoverRequest struct {
	MemberID  string `json:"memberId"`
	Name      string `json:"name"`
	Address   string `json:"address"`
	ClusterID string `json:"clusterId,omitempty"`
	Expect    int    `json:"expect"`
}

// KeeperDiscoverAnswer is its data.
type KeeperDiscoverAnswer struct {
	MemberID  string     `json:"memberId"`
	Name      string     `json:"name"`
	Address   string     `json:"address"`
	ClusterID string     `json:"clusterId,omitempty"` // empty: not yet part of a group
	Fresh     bool       `json:"fresh"`               // its log is empty
	Expect    int        `json:"expect"`
	Leader    LeaderHint `json:"leader"`
}

// KeeperJoinRequest asks the leader to add a keeper (as a non-voter, promoted
// when it has caught up) or to take note of its new address.
type KeeperJoinRequest struct {
	MemberID    string `json:"memberId"`
	Name        string `json:"name"`
	Address     string `json:"address"`
	HTTP        string `json:"http"`
	Version     string `json:"version"`
	ClusterID   string `json:"clusterId,omitempty"`
	Incarnation string `json:"incarnation,omitempty"`
	// FeatureLevel is the highest level of commands that the keeper's program knows.
	FeatureLevel uint32 `json:"featureLevel,omitempty"`
}
