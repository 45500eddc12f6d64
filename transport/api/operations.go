package api

import "time"

// GroupMaintenanceRequest puts a host group into maintenance, or takes it out.
// Nobody but an operator switches it meanwhile.
type GroupMaintenanceRequest struct {
	HostGroup string `json:"hostGroup"`
	On        bool   `json:"on"`
	Reason    string `json:"reason,omitempty"` // needed to put it on
	ForMS     int64  `json:"forMs,omitempty"`  // 0: until it is taken out
}

// BrakeRequest puts the brake on the whole cluster, or takes it off. Nothing is
// switched by itself meanwhile.
type BrakeRequest struct {
	On     bool   `json:"on"`
	Reason string `json:"reason,omitempty"` // needed to put it on
}

// Hold is a maintenance or the brake, while it counts.
type Hold struct {
	By     string     `json:"by"`
	Reason string     `json:"reason"`
	Since  time.Time  `json:"since"`
	Until  *time.Time `json:"until,omitempty"` // nil: until it is taken off
}

// Ack is who took note of a switch.
type Ack struct {
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Time   time.Time `json:"time"`
}

// PendingAck is a failover that nobody asked for and nobody acknowledged yet.
type PendingAck struct {
	Switch string    `json:"switch"`
	Until  time.Time `json:"until"` // from then on the next one may happen by itself
}

// GroupSettings are the rules of switching of a host group. Durations are in
// milliseconds.
type GroupSettings struct {
	EnableSwitch    bool     `json:"enableSwitch"`
	AutoFailover    bool     `json:"autoFailover"`
	Policy          string   `json:"policy"`
	NeedVote        bool     `json:"needVote"`
	VoteRatio       int      `json:"voteApproveRatio"`
	Probes          int      `json:"backendPingCount"`
	NeedLoadCheck   bool     `json:"needLoadCheck"`
	SafeLoad        float64  `json:"safeLoad"`
	NeedBinlogCheck bool     `json:"needBinlogCheck"`
	SafeBinlogDelay int64    `json:"safeBinlogDelay"` // bytes
	BinlogWaitMS    int64    `json:"binlogWaitTimeMs"`
	FrequencyMS     int64    `json:"frequencyMs"`
	DrainTimeoutMS  int64    `json:"drainTimeoutMs"`
	FenceTimeoutMS  int64    `json:"fenceTimeoutMs"`
	AutoAckAfterMS  int64    `json:"autoAckAfterMs"`
	SafeLagMS       int64    `json:"safeLagMs"`
	Prefer          []string `json:"prefer,omitempty"`
	Never           []string `json:"never,omitempty"`
}

// GroupDetail is what GroupList adds when one group is asked for by name.
type GroupDetail struct {
	Settings GroupSettings `json:"settings"`
	Open     *Switch       `json:"openSwitch,omitempty"`
	Last     *Switch       `json:"lastSwitch,omitempty"`
	Refused  *Refused      `json:"lastRefused,omitempty"`
	Proxies  []Proxy       `json:"proxies"` // of its cluster
	Agents   []Agent       `json:"agents"`  // of its datasources
}

// Refused is the last switch that nobody was allowed to begin, as the leader of
// this term remembers it.
type Refused struct {
	Time   time.Time `json:"time"`
	By     string    `json:"by"`
	Reason string    `json:"reason"` // why it was asked for
	Code   Code      `json:"code"`
	Error  string    `json:"error"` // why it was refused
}

// SwitchCandidate is a datasource that a failover may choose.
type SwitchCandidate struct {
	Address  string `json:"address"`
	Chosen   bool   `json:"chosen"`
	Received string `json:"received,omitempty"`
	Applied  string `json:"applied,omitempty"`
	BehindMS int64  `json:"behindMs"` // when that was last known; -1: never
	Zone     string `json:"zone,omitempty"`
	Excluded string `json:"excluded,omitempty"` // why it cannot be the primary
}

// SwitchDryRunAnswer is what a switch would find now. Nothing was begun.
type SwitchDryRunAnswer struct {
	HostGroup  string            `json:"hostGroup"`
	Kind       string            `json:"kind"`
	FromIndex  int               `json:"fromIndex"`
	ToIndex    int               `json:"toIndex"`
	From       string            `json:"from"`
	To         string            `json:"to"`
	Policy     string            `json:"policy,omitempty"`
	Would      bool              `json:"would"` // go on to hold the writes
	Code       Code              `json:"code"`
	Error      string            `json:"error,omitempty"` // why it would not
	Warnings   []string          `json:"warnings,omitempty"`
	Checks     []Check           `json:"checks"`
	VoteRule   string            `json:"voteRule"`             // what an operator's switch needs
	VoteAuto   string            `json:"voteAuto"`             // what one that nobody asked for would need
	Automatic  string            `json:"automatic"`            // why one by itself would be refused now; empty: it would not
	Candidates []SwitchCandidate `json:"candidates,omitempty"` // of a failover
}

// SwitchHook is what became of one hook at one event of a switch.
type SwitchHook struct {
	Hook   string    `json:"hook"`
	Event  string    `json:"event"`
	OK     bool      `json:"ok"`
	Note   string    `json:"note,omitempty"`
	Keeper string    `json:"keeper"`
	Time   time.Time `json:"time"`
	TookMS float64   `json:"tookMs"`
	Tries  int       `json:"tries"`
}
