package api

import "time"

// Names of seed 000's requests, arrow 1 and 4 (to a keeper).
const (
	ConfigFetch              = "ConfigFetch"
	ProxyRegister            = "ProxyRegister"
	ProxyUnregister          = "ProxyUnregister"
	ClusterDatasourcesSwitch = "ClusterDatasourcesSwitch"
	ProxyHeartbeat           = "ProxyHeartbeat"
	AgentHeartbeat           = "AgentHeartbeat"
)

// Names of seed 000's requests, arrow 2 (keeper to proxy).
const (
	PushConfig                    = "PushConfig"
	RollbackConfig                = "RollbackConfig"
	UnregisterProxy               = "UnregisterProxy"
	ActivateProxy                 = "ActivateProxy"
	ProxyVoteFetch                = "ProxyVoteFetch"
	SwitchProxyDatasource         = "SwitchProxyDatasource"
	RollbackProxyDatasource       = "RollbackProxyDatasource"
	StopWritingProxyDatasource    = "StopWritingProxyDatasource"
	RecoverWritingProxyDatasource = "RecoverWritingProxyDatasource"
)

// Statuses of a proxy (original, C4).
const (
	StatusReady = "ready"
	StatusUp    = "up"
	StatusLost  = "lost"
	StatusUnreg = "unreg"
)

// SystemInfo is what a heartbeat says of its host. Load and memory are
// fractions (0.5 is half); load averages are the kernel's.
type SystemInfo struct {
	CPULoad float64 `json:"cpuLoad"`
	MemLoad float64 `json:"memLoad"`
	LoadAvg LoadAvg `json:"loadAvg"`
}

// LoadAvg are the kernel's load averages.
type LoadAvg struct {
	Avg1Min  float64 `json:"avg1min"`
	Avg5Min  float64 `json:"avg5min"`
	Avg15Min float64 `json:"avg15min"`
}

// ConfigFetchRequest asks for the live configuration. Data of the answer is
// the YAML; its version is the answer's MetaConfigID.
type ConfigFetchRequest struct {
	ClusterName string `json:"clusterName,omitempty"`
}

// ProxyRegisterRequest registers the proxy that Hello introduced.
type ProxyRegisterRequest struct {
	ClusterName string `json:"clusterName,omitempty"`
	Address     string `json:"address,omitempty"` // its MySQL port
	Version     string `json:"version,omitempty"`
}

// ProxyUnregisterRequest takes the proxy off the list.
type ProxyUnregisterRequest struct {
	Reason string `json:"reason"`
	Force  bool   `json:"force,omitempty"` // also when it is the last that is up
	// Released: it gave up its lease, and sends no write before it is activated
	// again (R5). Without it the answer comes when its lease must be over.
	Released bool `json:"released,omitempty"`
}

// ClusterDatasourcesSwitchRequest asks for a switch. The answer comes when the
// switch is over (unless Wait is false); its switch id is in MetaSwitchID.
type ClusterDatasourcesSwitchRequest struct {
	HostGroup string `json:"hostGroup"`
	FromIndex int    `json:"fromIndex"`
	ToIndex   int    `json:"toIndex"` // AnyIndex: the keeper chooses (in a failover)
	Reason    string `json:"reason"`
	Wait      *bool  `json:"wait,omitempty"` // nil is true
	// Kind is KindPlanned or KindFailover. Empty is planned; of a proxy it is a
	// failover when the primary's agent does not say that the server is alive.
	Kind string `json:"kind,omitempty"`
}

// Kinds of switches.
const (
	KindPlanned  = "planned"
	KindFailover = "failover"
)

// AnyIndex as ToIndex leaves the choice of the new primary to the keeper.
const AnyIndex = -1

// ProxyHeartbeatRequest is sent every HeartbeatInterval of the answer.
type ProxyHeartbeatRequest struct {
	ClusterName string     `json:"clusterName"`
	Address     string     `json:"address"`
	Status      string     `json:"status"`
	SystemInfo  SystemInfo `json:"systemInfo"`
	ConfVersion string     `json:"confVersion"`

	Seq         uint64           `json:"seq,omitempty"`         // rises per incarnation (R10)
	Incarnation string           `json:"incarnation,omitempty"` // of the process
	Stamps      map[string]Stamp `json:"stamps,omitempty"`      // highest seen, by host group (R25)
	ConfError   string           `json:"confError,omitempty"`   // why the last push was refused
	Probes      map[string]Probe `json:"probes,omitempty"`      // of the writable datasource, by host group
	Leaseless   []string         `json:"leaseless,omitempty"`   // host groups that it has no lease for: it writes to none of them
}

// Probe is what a proxy's own probes say of the datasource that it takes for
// the writable one.
type Probe struct {
	Address       string `json:"address"`         // of the datasource that is probed
	Failures      int    `json:"failures"`        // in a row; 0: the last one succeeded
	LastSuccessMS int64  `json:"lastSuccessMs"`   // since the last that succeeded was sent; -1: none did
	Error         string `json:"error,omitempty"` // of the last one
}

// HeartbeatAnswer is the data of both heartbeats' answers: what holds now.
type HeartbeatAnswer struct {
	Seq         uint64  `json:"seq"`
	Status      string  `json:"status,omitempty"` // the keeper's view of the sender
	ConfVersion string  `json:"confVersion,omitempty"`
	IntervalMS  int64   `json:"intervalMs"`        // until the next heartbeat
	LeaseMS     int64   `json:"leaseMs,omitempty"` // from its sending; 0: no lease is granted
	Grants      []Grant `json:"grants"`
	Moment      Moment  `json:"moment,omitzero"` // to an agent: of the record that the grants are from; none while its group is frozen, of which nothing is said
}

// Grant says what holds for one host group (R4). Index and datasource always
// come together (R24).
type Grant struct {
	HostGroup  string     `json:"hostGroup"`
	Stamp      Stamp      `json:"stamp"`
	Committed  uint64     `json:"committed"` // generation of the last commit
	Index      int        `json:"index"`     // of the primary
	Primary    Datasource `json:"primary"`
	Open       bool       `json:"open"`                 // writes are allowed
	ReplicaSet []string   `json:"replicaSet,omitempty"` // to an agent: addresses of the recorded replicas (R17)
	Policy     string     `json:"policy,omitempty"`     // to an agent: PolicyLossless or PolicyAvailable

	ReplicaVersion uint64 `json:"replicaVersion,omitempty"` // to an agent: of the record that ReplicaSet is from
	Acknowledge    bool   `json:"acknowledge,omitempty"`    // to a replica's agent: the record names it, it may acknowledge (R20)
	Degraded       bool   `json:"degraded,omitempty"`       // to the primary's agent: commits wait for no acknowledgement, by a recorded decision (R20)
	// Failsafe: the group uses it; Peers are the agents of its servers that listen.
	// They go to agents and proxies, to be known when no keeper is in reach.
	Failsafe bool   `json:"failsafe,omitempty"`
	Peers    []Peer `json:"peers,omitempty"`
	// Drain, to a proxy, of a group that is held: nothing new begins, and the answer's
	// lease is for what is in flight. It prolongs a lease that lives, and revives none.
	Drain bool `json:"drain,omitempty"`
}

// Policies of a host group: what a failover may lose.
const (
	PolicyLossless  = "lossless"  // nothing: refused when an acknowledged write might be missing
	PolicyAvailable = "available" // the best that is left is promoted, what may be lost is recorded
)

// Datasource names a database server.
type Datasource struct {
	Address  string `json:"address"`            // host:port, as in the configuration
	ServerID string `json:"serverId,omitempty"` // its identity, once an agent reported it
}

// PushConfigRequest gives a proxy a configuration.
type PushConfigRequest struct {
	ConfigID string `json:"configId"`
	Content  string `json:"content"`
}

// RollbackConfigRequest tells a proxy to return to the configuration that it
// applied before the last push, or to ConfigID; NewConfigID is the version
// under which the cluster knows that content from now on.
type RollbackConfigRequest struct {
	ConfigID    string `json:"configId,omitempty"`
	NewConfigID string `json:"newConfigId,omitempty"`
}

// UnregisterProxyRequest tells a proxy that it is off the list.
type UnregisterProxyRequest struct {
	Reason string `json:"reason"`
}

// ActivateProxyRequest tells a proxy to fetch its configuration and serve.
type ActivateProxyRequest struct{}

// ProxyVoteFetchRequest asks a proxy for its vote.
type ProxyVoteFetchRequest struct {
	HostGroup string `json:"hostGroup"`
	ToIndex   int    `json:"toIndex"`
}

// ProxyVote is the data of the answer: the vote with its evidence.
type ProxyVote struct {
	Vote            bool       `json:"vote"`
	HostGroup       string     `json:"hostGroup"`
	FromIndex       int        `json:"fromIndex"`
	ToIndex         int        `json:"toIndex"`
	LastSuccess     *time.Time `json:"lastSuccess,omitempty"` // of a probe of the writable
	Failures        int        `json:"failures"`              // probes failed in a row
	Error           string     `json:"error,omitempty"`       // of the last probe
	TargetReachable bool       `json:"targetReachable"`
}

// SwitchProxyDatasourceRequest points a held proxy at the new primary.
type SwitchProxyDatasourceRequest struct {
	HostGroup string     `json:"hostGroup"`
	ToIndex   int        `json:"toIndex"`
	Primary   Datasource `json:"primary,omitzero"`
}

// RollbackProxyDatasourceRequest points a held proxy back at the previous index.
type RollbackProxyDatasourceRequest struct {
	HostGroup string `json:"hostGroup"`
}

// StopWritingProxyDatasourceRequest holds new writes and transactions. It is
// answered when nothing is in flight.
type StopWritingProxyDatasourceRequest struct {
	HostGroup string     `json:"hostGroup"`
	Index     int        `json:"index"`
	Primary   Datasource `json:"primary,omitzero"`
	// Sever: in a failover nothing is waited for. Backend connections to the
	// primary are closed, what was in flight is answered with an unknown outcome.
	Sever bool `json:"sever,omitempty"`
}

// RecoverWritingProxyDatasourceRequest lets the held writes go on.
type RecoverWritingProxyDatasourceRequest struct {
	HostGroup string     `json:"hostGroup"`
	Index     int        `json:"index"`
	Primary   Datasource `json:"primary,omitzero"`
}
