package ctl

import (
	"slices"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// at is some milliseconds after moment.
func at(ms int) time.Time { return moment.Add(time.Duration(ms) * time.Millisecond) }

var (
	members = []api.Member{
		{ID: "8f1c", Name: "k1", Address: "10.0.0.1:7001", HTTP: "10.0.0.1:7101", Version: "v0.1.0", Voter: true, Leader: true},
		{ID: "2b77", Name: "k2", Address: "10.0.0.2:7001", HTTP: "10.0.0.2:7101", Version: "v0.1.0", Voter: true},
		{ID: "c0de", Name: "k3", Address: "10.0.0.3:7001", HTTP: "10.0.0.3:7101", Version: "v0.1.0"},
	}

	orders = api.Group{
		Name: "orders", Cluster: "prod", Writable: 0, Primary: "10.0.1.1:3306",
		Stamp: api.Stamp{Epoch: 1, Generation: 7, Step: api.StepIdle}, Committed: 6, LastSwitch: "sw-7",
		Policy: api.PolicyAvailable, Degraded: &api.Degraded{SinceMS: at(0).UnixMilli(), Why: "2 commits wait for an acknowledgement", By: "keeper k1"},
		Datasources: []api.GroupMember{
			{Index: 0, Address: "10.0.1.1:3306", ServerID: "s1", Role: "primary", Agent: "up"},
			{Index: 1, Address: "10.0.1.2:3306", ServerID: "s2", Role: "replica", Agent: "lost", ReadOnly: true, Alarm: "replication stopped", Replica: "joining"},
			{Index: 2, Address: "10.0.1.3:3306", Agent: "none"},
		},
	}

	proxyOne = api.Proxy{
		ID: "p1", Cluster: "prod", Address: "10.0.2.1:3306", Status: "up", ConfVersion: "1.0.3", Version: "v0.1.0",
		Connected: true, SystemInfo: api.SystemInfo{LoadAvg: api.LoadAvg{Avg1Min: 0.42}}, AgeMS: 120,
	}
	proxyTwo = api.Proxy{ID: "p2", Cluster: "prod", Address: "10.0.2.2:3306", Status: "lost", ConfVersion: "1.0.2", ConfError: "no such file\x1b[2J", AgeMS: -1}

	agentOne = api.Agent{
		ID: "a1", Address: "10.0.1.1:3306", Status: "up", Version: "v0.1.0", ServerID: "s1", Role: "primary", Connected: true,
		MySQL: api.MySQLStatus{Status: 1, Connected: 17}, SystemInfo: api.SystemInfo{LoadAvg: api.LoadAvg{Avg1Min: 1.5}}, AgeMS: 80,
	}
	agentTwo = api.Agent{ID: "a2", Address: "10.0.1.2:3306", Status: "lost", Role: "replica", ReadOnly: true, AgeMS: 61_000, Alarm: "replication stopped"}

	lastSeen = at(-2000)

	doneSwitch = api.Switch{
		ID: "sw-7", HostGroup: "orders", Cluster: "prod", Kind: "planned", FromIndex: 0, ToIndex: 1,
		From: "10.0.1.1:3306", To: "10.0.1.2:3306", Reason: "kernel update", RequestedBy: "ada@bastion",
		State: "done", Generation: 7, VoteRule: "skipped: operator", BlackoutMS: 12.3, TotalMS: 42.8,
		Steps: []api.SwitchStep{
			{State: "requested", Time: at(0), TookMS: 1.2, Term: 4},
			{State: "preflight", Time: at(1), TookMS: 20.5, Term: 4, Note: "6 rules, all ok"},
			{State: "stopping", Time: at(22), TookMS: 3.1, Term: 4, Note: "2 proxies drained"},
			{State: "fencing", Time: at(25), TookMS: 4, Term: 4},
			{State: "catching-up", Time: at(29), TookMS: 2, Term: 4},
			{State: "promoting", Time: at(31), TookMS: 3, Term: 4, Note: "committed"},
			{State: "done", Time: at(42), TookMS: 0, Term: 4},
		},
		Checks: []api.Check{
			{Rule: "candidate-replicates", OK: true, Input: "IO Yes, SQL Yes"},
			{Rule: "lag", OK: true, Input: "0 bytes of 16777216"},
		},
		Position: &api.Binlog{File: "binlog.000042", Position: 9817, GTIDBinlogPos: "0-1-4711"},
	}

	rolledBack = api.Switch{
		ID: "sw-8", HostGroup: "orders", Cluster: "prod", Kind: "failover", FromIndex: 1, ToIndex: 0,
		From: "10.0.1.2:3306", To: "10.0.1.1:3306", Reason: "probes failed", RequestedBy: "p1",
		State: "rolled-back", Generation: 8, VoteRule: "more than 50 percent of 2", TotalMS: 1200,
		Code: api.TooFewVotes, Error: "1 of 2 votes, more than 1 needed",
		Steps: []api.SwitchStep{
			{State: "requested", Time: at(0), TookMS: 1, Term: 4},
			{State: "voting", Time: at(1), TookMS: 1100, Term: 4, Note: "1 of 2"},
			{State: "rolling-back", Time: at(1101), TookMS: 99, Term: 5},
			{State: "rolled-back", Time: at(1200), Term: 5},
		},
		Checks: []api.Check{{Rule: "errant", OK: false, Input: "0-2-9", Detail: "the primary has not this"}},
		Votes: []api.SwitchVote{
			{Proxy: "p1", ProxyVote: api.ProxyVote{Vote: true, HostGroup: "orders", FromIndex: 1, LastSuccess: &lastSeen, Failures: 4, Error: "2003 cannot connect", TargetReachable: true}},
			{Proxy: "p2", ProxyVote: api.ProxyVote{HostGroup: "orders"}, NoAnswer: "no answer in 1s"},
		},
	}

	openSwitch = api.Switch{
		ID: "sw-9", HostGroup: "orders", Kind: "planned", FromIndex: 0, ToIndex: 1, State: "stopping", Open: true,
		Reason: "drill", RequestedBy: "ada@bastion", Generation: 9, TotalMS: 10,
		Steps: []api.SwitchStep{{State: "requested", Time: at(0)}, {State: "stopping", Time: at(1)}},
	}

	liveConfig = api.ConfigInfo{
		Cluster: "prod", ConfigID: "1.0.3", Live: true, Time: at(0), Author: "ada@bastion", Comment: "more connections",
		Digest: "0123456789abcdef0123", Size: 321,
	}
	oldConfig = api.ConfigInfo{Cluster: "prod", ConfigID: "1.0.2", Time: at(-3_600_000), Digest: "fedcba98", Of: "1.0.0", Size: 300}

	acks = []api.ProxyAck{{ID: "p1", Applied: true}, {ID: "p2", Error: "no such file"}}
)

// frozenOrders is the group orders after a restore.
func frozenOrders() api.Group {
	g := orders
	g.Frozen, g.Waits = "the keepers were restored", []string{"10.0.1.2:3306: its agent is silent"}
	g.Datasources = slices.Clone(orders.Datasources)
	g.Datasources[0].Says, g.Datasources[1].Says = "stamp 1.5.6, 10.0.1.1:3306 is the primary since generation 5", "its agent is silent"
	return g
}

// nodeOf is what a member says of itself.
func nodeOf(m api.Member, state string, change func(*api.NodeStatusAnswer)) handler {
	s := api.NodeStatusAnswer{
		ClusterID: "5f3c", MemberID: m.ID, Name: m.Name, Version: m.Version, Address: m.Address, HTTP: m.HTTP, State: state,
		Leader: api.LeaderHint{ID: "8f1c", Address: "10.0.0.1:7001", Term: 4}, Term: 4, Index: 120, Commit: 120, Ready: true,
		Hash: "aa", HashIndex: 100,
	}
	if change != nil {
		change(&s)
	}
	return say(s)
}

// healthy is a group in which nothing is wrong.
func healthy() *fake {
	good := orders
	good.Datasources = orders.Datasources[:1]
	view := api.ClusterViewAnswer{
		ClusterID: "5f3c", Epoch: 1, Leader: members[0], Members: members,
		Groups: []api.Group{good}, Proxies: []api.Proxy{proxyOne}, Agents: []api.Agent{agentOne},
	}
	return &fake{
		handlers: map[string]handler{
			api.ClusterView: say(view),
			api.MemberList:  say(api.MemberListAnswer{Members: members}),
			api.GroupList:   say(api.GroupListAnswer{Groups: []api.Group{orders}}),
			api.GroupThaw: say(api.GroupThawAnswer{
				Frozen: "the keepers were restored", Waits: []string{"10.0.1.2:3306: its agent is silent"},
				Agents:   []api.GroupWitness{{Address: "10.0.1.1:3306", Says: "stamp 1.5.6, 10.0.1.1:3306 is the primary since generation 5"}, {Address: "10.0.1.2:3306", Says: "its agent is silent"}},
				Warnings: []string{"10.0.1.2:3306: its agent is silent. If it was the primary after that, what was written there is lost"},
			}),
			api.ProxyList: say(api.ProxyListAnswer{Proxies: []api.Proxy{proxyOne, proxyTwo}}),
			api.AgentList: say(api.AgentListAnswer{Agents: []api.Agent{agentOne, agentTwo}}),
			api.AgentLoad: say(api.Load{
				Load1: 1.5, Load5: 1.25, Load15: 1, Cores: 8, MemTotal: 64 << 30, MemAvailable: 40 << 30, DiskFree: 900, Connections: 17,
			}),
			api.AgentBinlog:    say(api.Binlog{File: "binlog.000042", Position: 9817, GTIDSlavePos: "0-1-4711"}),
			api.MemberRemove:   say(struct{}{}),
			api.LeaderTransfer: say(struct{}{}),
			api.ProxyActivate:  say(struct{}{}),
			api.ProxyDrop:      say(struct{}{}),
			api.SectionGet:     say(api.SectionAnswer{Timestamp: moment.Unix(), Data: []byte("a\x00b\xff"), Index: 77, Version: 2}),
			api.SectionPut:     say(api.SectionPutAnswer{Version: 3, Index: 78}),
			api.SwitchStart:    say(api.SwitchStarted{ID: "sw-7", Generation: 7}),
			api.SwitchList:     say(api.SwitchListAnswer{Switches: []api.Switch{openSwitch, rolledBack, doneSwitch}}),
			api.SwitchShow:     say(doneSwitch),
			api.SwitchAbort:    say(struct{}{}),
			api.ConfigPush:     say(api.ConfigPushAnswer{ConfigID: "2.0.0", Cluster: "prod", Warnings: []string{"active_write is ignored"}, Proxies: acks[:1]}),
			api.ConfigRollback: say(api.ConfigPushAnswer{ConfigID: "1.0.4", Cluster: "prod", Proxies: acks}),
			api.ConfigList:     say(api.ConfigListAnswer{Configs: []api.ConfigInfo{liveConfig, oldConfig}}),
			api.ConfigShow:     say(api.ConfigShowAnswer{ConfigInfo: liveConfig, Content: "basic:\n  config_name: prod\n", Proxies: acks}),
			api.ReplicaDrop:    say(struct{}{}),
			api.SwitchAck:      say(struct{}{}), api.SwitchDryRun: say(dryRun), api.GroupMaintenance: say(struct{}{}), api.BrakeSet: say(struct{}{}),
			api.SnapshotSave: say(api.SnapshotSaveAnswer{Index: 120, Term: 4, Hash: "aa", Snapshot: []byte("state")}),
		},
		nodes: map[string]handler{
			"10.0.0.1:7001": nodeOf(members[0], "leader", nil),
			"10.0.0.2:7001": nodeOf(members[1], "follower", nil),
			"10.0.0.3:7001": nodeOf(members[2], "follower", nil),
		},
	}
}

// threeKeepers is the environment in which they are configured.
var threeKeepers = map[string]string{"ZERO_KEEPERS": "10.0.0.1:7001,10.0.0.2:7001,10.0.0.3:7001"}
