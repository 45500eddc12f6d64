package api

// Metadata keys of an invoke.
const (
	MetaDeadline       = "deadline-ms" // milliseconds left, relative, decimal
	MetaToken          = "token"
	MetaSession        = "session"
	MetaSeq            = "seq"
	MetaAcked          = "acked" // every seq up to this one was answered
	MetaStamp          = "stamp"
	MetaSwitchID       = "switch-id"
	MetaTerminalID     = "terminal-id"
	MetaConnectionType = "connection-type"
	MetaTrace          = "trace"
	MetaConfigID       = "config-id"
	MetaConsistency    = "consistency" // linearizable (default), leader or stale
	MetaIndex          = "index"       // of the state that was read
	MetaTerm           = "term"
	MetaServedBy       = "served-by"
	MetaCommand        = "command"
	MetaAge            = "age-ms" // of a stale answer: since the leader was last heard
)

// Roles of a connection, as Hello names them.
const (
	RoleKeeper   = "keeper"
	RoleProxy    = "proxy"
	RoleAgent    = "agent"
	RoleOperator = "operator"
	RoleClient   = "client"
)

// ProtocolVersion is what Hello carries today.
const ProtocolVersion = 1

// Hello is the first request of every op-2 connection.
const Hello = "Hello"

// HelloRequest introduces the caller.
type HelloRequest struct {
	Version     int    `json:"version"`
	Role        string `json:"role"`
	ID          string `json:"id"`
	Cluster     string `json:"cluster,omitempty"`     // config_name of a proxy
	Incarnation string `json:"incarnation,omitempty"` // random per start
	Address     string `json:"address,omitempty"`     // of a proxy its MySQL port, of an agent its datasource
}

// HelloAnswer introduces the keeper.
type HelloAnswer struct {
	Version   int        `json:"version"`
	ClusterID string     `json:"clusterId"` // empty before the bootstrap
	MemberID  string     `json:"memberId"`
	Name      string     `json:"name"`
	Leader    LeaderHint `json:"leader"`
}

// LeaderHint is the data of a NotLeader answer.
type LeaderHint struct {
	ID      string `json:"id"`
	Address string `json:"address"` // host:port of the leader's machine port; empty when unknown
	Term    uint64 `json:"term"`
}
