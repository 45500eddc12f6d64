package ctl

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// settingsText shows the rules of switching, named as in the configuration.
func settingsText(t *text, s api.GroupSettings) {
	length := func(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }
	load, binlog := "not looked at", "not looked at"
	if s.NeedLoadCheck {
		load = fmt.Sprint(s.SafeLoad)
	}
	if s.NeedBinlogCheck {
		binlog = bytesText(uint64(s.SafeBinlogDelay))
	}
	votes, ack, lag := "not needed", "not needed", "not looked at"
	if s.NeedVote {
		votes = fmt.Sprintf("more than %d%%, or all", s.VoteRatio)
	}
	if s.AutoAckAfterMS > 0 {
		ack = "needed, or after " + length(s.AutoAckAfterMS)
	}
	if s.SafeLagMS > 0 {
		lag = length(s.SafeLagMS)
	}
	t.Fields("enable_switch", fmt.Sprint(s.EnableSwitch), "auto_failover", fmt.Sprint(s.AutoFailover), "policy", s.Policy,
		"need_vote", votes, "backend_ping_count", fmt.Sprint(s.Probes), "frequency", length(s.FrequencyMS), "auto_ack_after", ack,
		"safe_load", load, "safe_binlog_delay", binlog, "safe_lag", lag, "binlog_wait_time", length(s.BinlogWaitMS),
		"drain_timeout", length(s.DrainTimeoutMS), "fence_timeout", length(s.FenceTimeoutMS),
		"prefer", cmp.Or(strings.Join(s.Prefer, ", "), "none"), "never", cmp.Or(strings.Join(s.Never, ", "), "none"))
}

// ackText says who took note of a switch, or that somebody has to.
func ackText(s *api.Switch) string {
	switch {
	case s.Ack != nil && s.Ack.Reason != "":
		return fmt.Sprintf("by %s at %s: %s", s.Ack.By, clock(s.Ack.Time), s.Ack.Reason)
	case s.Ack != nil:
		return fmt.Sprintf("by %s at %s", s.Ack.By, clock(s.Ack.Time))
	case s.AckPending != nil:
		return "NOT YET"
	}
	return ""
}
