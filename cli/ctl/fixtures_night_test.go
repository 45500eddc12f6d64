package ctl

import (
	"slices"

	"github.com/zerokeeper/zero/transport/api"
)

// What happened at night.
var (
	earlier = at(-31_000)
	later   = at(3_600_000)

	losslessFailover = api.Switch{
		ID: "orders-12", HostGroup: "orders", Cluster: "prod", Kind: "failover", FromIndex: 0, ToIndex: 2, From: "10.0.1.1:3306", To: "10.0.1.3:3306",
		Reason: "its agent says that mysqld is dead (3 heartbeats in a row)", RequestedBy: "detector", State: "done", Generation: 12, Policy: "lossless",
		VoteRule: "2 of 2 proxies voted for it; more than 50% needed, or all", Fenced: api.FencedDead, BlackoutMS: 412, TotalMS: 630,
		Steps: []api.SwitchStep{
			{State: "requested", Time: at(0), TookMS: 1, Term: 4},
			{State: "preflight", Time: at(1), TookMS: 9, Term: 4, Note: "8 rules passed"},
			{State: "voting", Time: at(10), TookMS: 60, Term: 4, Note: "2 of 2 proxies voted for it; more than 50% needed, or all"},
			{State: "stopping", Time: at(70), TookMS: 30, Term: 4, Note: "2 proxies stopped with nothing in flight, candidate prepared"},
			{State: "fencing", Time: at(100), TookMS: 12, Term: 4, Note: "10.0.1.1:3306 is dead, says its agent: it comes up read-only"},
			{State: "catching-up", Time: at(112), TookMS: 240, Term: 4, Note: "10.0.1.3:3306 has applied all that it received, 0-1-4711, and no replica has more"},
			{State: "promoting", Time: at(352), TookMS: 80, Term: 5, Note: "10.0.1.3:3306 is writable"},
			{State: "switching", Time: at(432), TookMS: 20, Term: 5, Note: "2 proxies"},
			{State: "recovering", Time: at(452), TookMS: 30, Term: 5, Note: "2 proxies"},
			{State: "repointing", Time: at(482), TookMS: 148, Term: 5, Note: "1 of 2 replicas follow"},
			{State: "done", Time: at(630), Term: 5},
		},
		Checks: []api.Check{
			{Rule: "the primary is gone", OK: true, Input: "its agent says that mysqld is dead (3 heartbeats in a row)"},
			{Rule: "the primary has an agent", OK: true, Input: "10.0.1.1:3306: agent a1 is up"},
			{Rule: "every replica can be asked", OK: true, Input: "2 of 2 replicas, policy lossless"},
			{Rule: "choice of the new primary", OK: true, Input: "10.0.1.2:3306 (received 0-1-4711, zone z2); 10.0.1.3:3306 (received 0-1-4711, zone z1)",
				Detail: "10.0.1.3:3306: it has all that was received, and is in the zone of the old primary"},
		},
		Votes: []api.SwitchVote{
			{Proxy: "p1", ProxyVote: api.ProxyVote{Vote: true, HostGroup: "orders", ToIndex: 2, LastSuccess: &lastSeen, Failures: 4, Error: "2003 connection refused", TargetReachable: true}},
			{Proxy: "p2", ProxyVote: api.ProxyVote{Vote: true, HostGroup: "orders", ToIndex: 2, LastSuccess: &lastSeen, Failures: 5, Error: "2003 connection refused", TargetReachable: true}},
		},
		Proxies:  []api.SwitchProxy{{Proxy: "p1", How: "stopped"}, {Proxy: "p2", How: "stopped"}},
		Replicas: []api.SwitchReplica{{Address: "10.0.1.2:3306", Stopped: true, Received: "0-1-4711"}, {Address: "10.0.1.3:3306", Stopped: true, Received: "0-1-4711"}},
		Hooks: []api.SwitchHook{
			{Hook: "pager", Event: "switch/before", OK: true, Note: "status 202", Keeper: "k1", Time: at(90), TookMS: 88, Tries: 1},
			{Hook: "dns", Event: "promoting/after", Note: "hook failed: not over in time, killed", Keeper: "k2", Time: at(5600), TookMS: 5000, Tries: 1},
		},
		AckPending: &api.PendingAck{Switch: "orders-12", Until: later},
	}

	refusedFailover = api.Switch{
		ID: "orders-14", HostGroup: "orders", Cluster: "prod", Kind: "failover", FromIndex: 0, ToIndex: 2, From: "10.0.1.1:3306", To: "10.0.1.3:3306",
		Reason: "its agent is silent for 2.2s, the probes of 2 of 2 proxies fail, and no replica hears it", RequestedBy: "detector", State: "rolled-back", Generation: 14,
		Policy: "lossless", TotalMS: 1020, Code: api.MayLoseWrites,
		Error: "1 of 4 preflight rules failed, first \"every replica can be asked\": what only these have received would be lost: 10.0.1.2:3306 (1 of 2 replicas, policy lossless)",
		Steps: []api.SwitchStep{
			{State: "requested", Time: at(0), TookMS: 1, Term: 4},
			{State: "preflight", Time: at(1), TookMS: 1019, Term: 4, Note: "1 of 4 preflight rules failed"},
			{State: "rolled-back", Time: at(1020), Term: 4},
		},
		Checks: []api.Check{
			{Rule: "the primary is gone", OK: true, Input: "its agent is silent for 2.2s, the probes of 2 of 2 proxies fail, and no replica hears it"},
			{Rule: "proxies", OK: true, Input: "2 proxies in cluster prod"},
			{Rule: "every replica can be asked", Input: "1 of 2 replicas, policy lossless", Detail: "what only these have received would be lost: 10.0.1.2:3306"},
			{Rule: "candidate load", OK: true, Input: "skipped: need_load_check is false"},
		},
		Ack: &api.Ack{By: "ada@bastion", Reason: "rack 4 was dark", Time: later},
	}

	dryRun = api.SwitchDryRunAnswer{
		HostGroup: "orders", Kind: "planned", ToIndex: 1, From: "10.0.1.1:3306", To: "10.0.1.2:3306", Would: true,
		Checks:   []api.Check{{Rule: "every proxy is up", OK: true, Input: "2 proxies in cluster prod"}, {Rule: "candidate load", OK: true, Input: "load1 0.40 of 8 cores, safe_load 8.00"}},
		VoteRule: "skipped: operator", VoteAuto: "more than 50% of 2 proxies, or all", Automatic: "host group orders: auto_failover is false, only an operator may fail over",
	}

	refusedDryRun = api.SwitchDryRunAnswer{
		HostGroup: "orders", Kind: "failover", ToIndex: 2, From: "10.0.1.1:3306", To: "10.0.1.3:3306", Policy: "lossless", Code: api.MayLoseWrites,
		Error:    "1 of 4 preflight rules failed, first \"every replica can be asked\": what only these have received would be lost: 10.0.1.2:3306",
		Warnings: []string{"the host group is in maintenance, by ada@bastion since 2026-03-01 02:03:04 UTC, until it is taken off: disks"},
		Checks:   refusedFailover.Checks, VoteRule: "skipped: operator", VoteAuto: "more than 50% of 2 proxies, or all",
		Candidates: []api.SwitchCandidate{
			{Address: "10.0.1.2:3306", BehindMS: -1, Excluded: "its agent is silent"},
			{Address: "10.0.1.3:3306", Chosen: true, Received: "0-1-4711", Applied: "0-1-4700", BehindMS: 2000, Zone: "z1"},
		},
	}
)

// lossyFailover is the same under the policy available, with a replica away.
func lossyFailover() api.Switch {
	s := losslessFailover
	s.ID, s.Generation, s.Policy, s.Fenced = "orders-13", 13, "available", api.LeaseOut
	s.MayBeLost = "10.0.1.2:3306 was not reached: what it alone has received"
	s.Replicas = []api.SwitchReplica{{Address: "10.0.1.2:3306", Note: "not connected"}, {Address: "10.0.1.3:3306", Stopped: true, Received: "0-1-4711"}}
	s.Proxies = []api.SwitchProxy{{Proxy: "p1", How: "stopped"}, {Proxy: "p2", How: api.LeaseOut, Note: "silent for 2.2s"}}
	s.AckPending, s.Hooks, s.Ack = nil, nil, &api.Ack{By: "ada@bastion", Reason: "rack 4 was dark", Time: later}
	s.Warnings = []string{"the host group is in maintenance, by bob@bastion since 2026-03-01 01:00:00 UTC, until it is taken off: disks"}
	return s
}

// superseded committed, and its new primary was lost before it took writes.
func superseded() api.Switch {
	s := losslessFailover
	s.ID, s.Generation, s.State, s.Error = "orders-15", 15, "superseded", "superseded by orders-16"
	s.BlackoutMS, s.TotalMS, s.Hooks, s.AckPending = 0, 9000, nil, nil
	s.Steps = append(slices.Clone(s.Steps[:7]), api.SwitchStep{State: "superseded", Time: at(9000), Term: 5})
	s.Steps[6].Note, s.Steps[6].TookMS = "", 8648
	return s
}

// heldGroup is a group about which there is much to say.
func heldGroup() api.Group {
	g := orders
	last := losslessFailover
	g.Maintenance, g.CooldownLeftMS, g.AckPending = &api.Hold{By: "ada@bastion", Reason: "disks", Since: earlier, Until: &later}, 7000, last.AckPending
	g.Detail = &api.GroupDetail{
		Settings: api.GroupSettings{
			EnableSwitch: true, AutoFailover: true, Policy: "lossless", NeedVote: true, VoteRatio: 50, Probes: 3, NeedBinlogCheck: true, SafeBinlogDelay: 16 << 20,
			BinlogWaitMS: 5000, FrequencyMS: 10_000, DrainTimeoutMS: 5000, FenceTimeoutMS: 2000, AutoAckAfterMS: 3_600_000, SafeLagMS: 10_000, Never: []string{"10.0.1.3:3306"},
		},
		Last: &last, Refused: &api.Refused{Time: at(0), By: "detector", Reason: "its agent says that mysqld is dead", Code: api.Maintenance, Error: "host group orders is in maintenance"},
		Proxies: []api.Proxy{proxyOne, proxyTwo}, Agents: []api.Agent{agentOne, agentTwo},
	}
	return g
}
