package conf

import (
	"strings"
	"time"
)

// Switch has the rules and times of a datasource switch.
type Switch struct {
	// NeedVote: proxies vote on a switch that no operator requested, and more
	// than VoteApproveRatio percent of them (or all) must approve.
	NeedVote         bool
	VoteApproveRatio int
	// NeedLoadCheck: the 1-minute load average of the new primary's host may
	// not be above SafeLoad, which is 0 only if it was not given.
	NeedLoadCheck bool
	SafeLoad      float64
	// NeedBinlogCheck: at preflight the new primary may not be more than
	// SafeBinlogDelay bytes behind. BinlogWaitTime bounds the wait for it to
	// catch up once writing has stopped; that wait is part of every switch.
	NeedBinlogCheck bool
	SafeBinlogDelay int64
	BinlogWaitTime  time.Duration
	// Frequency is the cooldown after a switch ended.
	Frequency time.Duration
	// PingInterval is the time between probes of a datasource, PingCount the
	// failures in a row after which a proxy requests a switch.
	PingInterval time.Duration
	PingCount    int
	// DrainTimeout bounds the wait for running transactions, FenceTimeout the
	// fencing of the old primary, in a planned switch.
	DrainTimeout, FenceTimeout time.Duration
	// HoldTimeout is how long a proxy holds a write. It is longer than
	// DrainTimeout + FenceTimeout + BinlogWaitTime.
	HoldTimeout time.Duration
	// MaxHeld and MaxHeldBytes bound what one proxy holds for one host group.
	MaxHeld      int
	MaxHeldBytes int64
	// AutoFailover: proxies and the keeper's detector may fail over without an
	// operator. Policy is PolicyLossless or PolicyAvailable. Prefer are the datasources
	// that become the primary rather than others, the best first; Never are those
	// that do only if an operator names them. Both are addresses with commas between.
	AutoFailover  bool
	Policy        string
	Prefer, Never string
	// SafeLag: in a failover a candidate that was further behind is passed over when
	// another qualifies; 0: not looked at. AutoAckAfter: an automatic failover counts
	// as acknowledged after that, and the next one may happen; 0: at once.
	SafeLag, AutoAckAfter time.Duration
	// Failsafe: with no keeper in reach the primary stays writable while the agents
	// of all replicas promise to accept no promotion (R18).
	Failsafe bool
	// HungAfter is how long a primary may hang before it counts as gone; 0: never.
	HungAfter time.Duration
}

// Policies of a failover: what it may lose.
const (
	PolicyLossless  = "lossless"
	PolicyAvailable = "available"
)

// DefaultSwitch has the rules of a document without a switch section.
func DefaultSwitch() Switch { return switchValues{}.resolve() }

// switchValues is a switch section as written: each value is optional. That of
// a host group is laid over the global one.
type switchValues struct {
	needVote, needLoadCheck, needBinlogCheck optional[bool]
	voteApproveRatio, safeBinlogDelay        optional[int64]
	pingCount, maxHeld, maxHeldBytes         optional[int64]
	safeLoad                                 optional[float64]
	binlogWaitTime, frequency, pingInterval  optional[time.Duration]
	drainTimeout, holdTimeout, fenceTimeout  optional[time.Duration]

	autoFailover  optional[bool]
	policy        optional[string]
	prefer, never optional[string]
	safeLag       optional[time.Duration]
	autoAckAfter  optional[time.Duration]
	failsafe      optional[bool]
	hungAfter     optional[time.Duration]
}

const maxLoad = 10000

// Bounds of hung_after. Below the least a server that is only slow would be killed.
const (
	minHung = 5 * time.Second
	maxHung = time.Hour
)

func readSwitch(m *mapping) switchValues {
	return switchValues{
		needVote:         m.boolean("need_vote"),
		voteApproveRatio: m.integer("vote_approve_ratio"),
		needLoadCheck:    m.boolean("need_load_check"),
		safeLoad:         readSafeLoad(m),
		needBinlogCheck:  m.boolean("need_binlog_check"),
		safeBinlogDelay:  m.integer("safe_binlog_delay"),
		binlogWaitTime:   m.duration("binlog_wait_time"),
		frequency:        m.duration("frequency"),
		pingInterval:     m.duration("backend_ping_interval"),
		pingCount:        m.integer("backend_ping_count"),
		drainTimeout:     m.duration("drain_timeout"),
		fenceTimeout:     m.duration("fence_timeout"),
		holdTimeout:      m.duration("hold_timeout"),
		maxHeld:          m.integer("max_held"),
		maxHeldBytes:     m.integer("max_held_bytes"),
		autoFailover:     m.boolean("auto_failover"),
		policy:           readPolicy(m),
		prefer:           readServers(m, "prefer"),
		never:            readServers(m, "never"),
		safeLag:          m.duration("safe_lag"),
		autoAckAfter:     m.duration("auto_ack_after"),
		failsafe:         m.boolean("failsafe"),
		hungAfter:        readHungAfter(m),
	}
}

func readSafeLoad(m *mapping) optional[float64] {
	load := m.number("safe_load")
	if load.set && (load.value <= 0 || load.value > maxLoad) {
		m.fail("safe_load", "is %g; must be %s", load.value, m.key("safe_load").Range)
		return optional[float64]{}
	}
	return load
}

func readHungAfter(m *mapping) optional[time.Duration] {
	after := m.duration("hung_after")
	if after.set && after.value > 0 && after.value < minHung {
		m.fail("hung_after", "is %s; must be %s", formatDuration(after.value), m.key("hung_after").Range)
		return optional[time.Duration]{}
	}
	return after
}

func readPolicy(m *mapping) optional[string] {
	policy, ok := m.text("policy")
	if ok && policy != PolicyLossless && policy != PolicyAvailable {
		m.fail("policy", "is %q; must be %s", policy, m.key("policy").Range)
		ok = false
	}
	return optional[string]{set: ok, value: policy}
}

// readServers is a comma list of addresses, as they stand in write.
func readServers(m *mapping, name string) optional[string] {
	list, ok := m.text(name)
	if !ok {
		return optional[string]{}
	}
	entries := strings.Split(list, ",")
	if len(entries) > MaxDatasources {
		m.fail(name, "has %d entries; at most %d are allowed", len(entries), MaxDatasources)
		return optional[string]{}
	}
	for i, entry := range entries {
		ds, err := ParseDatasource(strings.TrimSpace(entry))
		if err != nil {
			m.fail(name, "%s", err)
			return optional[string]{}
		}
		entries[i] = ds.Address
	}
	return given(strings.Join(entries, ","))
}

// over lays v over base.
func (v switchValues) over(base switchValues) switchValues {
	return switchValues{
		needVote:         v.needVote.over(base.needVote),
		voteApproveRatio: v.voteApproveRatio.over(base.voteApproveRatio),
		needLoadCheck:    v.needLoadCheck.over(base.needLoadCheck),
		safeLoad:         v.safeLoad.over(base.safeLoad),
		needBinlogCheck:  v.needBinlogCheck.over(base.needBinlogCheck),
		safeBinlogDelay:  v.safeBinlogDelay.over(base.safeBinlogDelay),
		binlogWaitTime:   v.binlogWaitTime.over(base.binlogWaitTime),
		frequency:        v.frequency.over(base.frequency),
		pingInterval:     v.pingInterval.over(base.pingInterval),
		pingCount:        v.pingCount.over(base.pingCount),
		drainTimeout:     v.drainTimeout.over(base.drainTimeout),
		fenceTimeout:     v.fenceTimeout.over(base.fenceTimeout),
		holdTimeout:      v.holdTimeout.over(base.holdTimeout),
		maxHeld:          v.maxHeld.over(base.maxHeld),
		maxHeldBytes:     v.maxHeldBytes.over(base.maxHeldBytes),
		autoFailover:     v.autoFailover.over(base.autoFailover),
		policy:           v.policy.over(base.policy),
		prefer:           v.prefer.over(base.prefer),
		never:            v.never.over(base.never),
		safeLag:          v.safeLag.over(base.safeLag),
		autoAckAfter:     v.autoAckAfter.over(base.autoAckAfter),
		failsafe:         v.failsafe.over(base.failsafe),
		hungAfter:        v.hungAfter.over(base.hungAfter),
	}
}

// resolve fills the defaults in. The default of hold_timeout follows the times
// that it must outlast, so that raising one of them alone is enough.
func (v switchValues) resolve() Switch {
	s := Switch{
		NeedVote:         v.needVote.or(true),
		VoteApproveRatio: int(v.voteApproveRatio.or(preset("switch.vote_approve_ratio"))),
		NeedLoadCheck:    v.needLoadCheck.or(false),
		SafeLoad:         v.safeLoad.or(0),
		NeedBinlogCheck:  v.needBinlogCheck.or(true),
		SafeBinlogDelay:  v.safeBinlogDelay.or(preset("switch.safe_binlog_delay")),
		BinlogWaitTime:   v.binlogWaitTime.or(presetTime("switch.binlog_wait_time")),
		Frequency:        v.frequency.or(presetTime("switch.frequency")),
		PingInterval:     v.pingInterval.or(presetTime("switch.backend_ping_interval")),
		PingCount:        int(v.pingCount.or(preset("switch.backend_ping_count"))),
		DrainTimeout:     v.drainTimeout.or(presetTime("switch.drain_timeout")),
		FenceTimeout:     v.fenceTimeout.or(presetTime("switch.fence_timeout")),
		MaxHeld:          int(v.maxHeld.or(preset("switch.max_held"))),
		MaxHeldBytes:     v.maxHeldBytes.or(preset("switch.max_held_bytes")),
		AutoFailover:     v.autoFailover.or(false),
		Policy:           v.policy.or(PolicyLossless),
		Prefer:           v.prefer.or(""),
		Never:            v.never.or(""),
		SafeLag:          v.safeLag.or(presetTime("switch.safe_lag")),
		AutoAckAfter:     v.autoAckAfter.or(presetTime("switch.auto_ack_after")),
		Failsafe:         v.failsafe.or(false),
		HungAfter:        v.hungAfter.or(presetTime("switch.hung_after")),
	}
	s.HoldTimeout = v.holdTimeout.or(s.mustOutlast() + holdMargin)
	return s
}

// mustOutlast is how long writing can be stopped before a switch commits.
func (s Switch) mustOutlast() time.Duration {
	return s.DrainTimeout + s.FenceTimeout + s.BinlogWaitTime
}

// checkSwitch checks the values against each other. section is where they
// stand; nil for a global section that is absent.
func checkSwitch(section *mapping, s Switch) {
	if section == nil {
		return
	}
	if s.NeedLoadCheck && s.SafeLoad == 0 && !section.has("safe_load") {
		section.fail("need_load_check", "is true, but there is no safe_load to compare with")
	}
	if s.HoldTimeout <= s.mustOutlast() {
		section.fail("hold_timeout", "is %s; must be above drain_timeout %s + fence_timeout %s + binlog_wait_time %s = %s, or held writes fail in a switch that works",
			formatDuration(s.HoldTimeout), formatDuration(s.DrainTimeout), formatDuration(s.FenceTimeout),
			formatDuration(s.BinlogWaitTime), formatDuration(s.mustOutlast()))
	}
	if !s.NeedVote && section.has("need_vote") {
		section.warnf(section.where("need_vote"), section.keyPath("need_vote"), "one proxy that cannot reach the primary is enough for a switch")
	}
}

func preset(path string) int64 { return keyByPath[path].preset }

func presetTime(path string) time.Duration { return time.Duration(keyByPath[path].preset) }
