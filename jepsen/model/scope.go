package model

// Scope bounds one exhaustive search.
type Scope struct {
	Name             string
	Proxies, Servers uint8
	Budget           Budget
	Unregistered     bool  // proxy 1 starts outside the list
	Failsafe         bool  // failsafe rounds
	Join             bool  // server 2 joins as a replica while all runs, and is the candidate
	Drain            bool  // a held proxy's lease is prolonged for what is in flight
	Unrecorded       bool  // server 2 replicates and is no recorded replica
	Lossless         bool  // semi-sync AFTER_SYNC without a timeout
	Lease            uint8 // longest real length of a lease, in ticks

	// What a complete search with all guards finds. Another number means that the protocol in this package has changed.
	States, Depth int
}

// Scopes are all scopes, in the order in which they are searched. Together they cover the parts of the protocol.
func Scopes() []Scope {
	return []Scope{
		{Name: "plain", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1}, Lease: 1,
			States: 73_517, Depth: 24},
		{Name: "agents", Servers: 2, Budget: Budget{Switches: 1, Elections: 1}, Lease: 2,
			States: 38_740, Depth: 22},
		{Name: "agents-late", Servers: 2, Budget: Budget{Switches: 2}, Lease: 1,
			States: 76_196, Depth: 31},
		{Name: "failsafe-agents-time", Servers: 2, Budget: Budget{Switches: 1}, Failsafe: true, Lease: 2,
			States: 103_945, Depth: 25},
		{Name: "failsafe-agents", Servers: 2, Budget: Budget{Switches: 1, AgentFaults: 1}, Failsafe: true, Lease: 1,
			States: 94_461, Depth: 26},
		{Name: "failsafe-agents-3", Servers: 3, Budget: Budget{Switches: 1}, Failsafe: true, Lease: 1,
			States: 400_732, Depth: 29},
		{Name: "failsafe-agents-join", Servers: 3, Budget: Budget{Switches: 1}, Failsafe: true, Join: true, Lease: 1,
			States: 420_157, Depth: 33},
		{Name: "failsafe-plain", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1}, Failsafe: true, Lease: 1,
			States: 485_080, Depth: 32},
		{Name: "restart", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1, ProxyRestarts: 1, Elections: 1}, Lease: 1,
			States: 582_137, Depth: 26},
		{Name: "drain", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1, Writes: 1}, Drain: true, Lease: 1,
			States: 1_084_720, Depth: 31},
		{Name: "mysqld", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1, MysqlRestarts: 1, AgentFaults: 1}, Lease: 1,
			States: 1_333_576, Depth: 28},
		{Name: "timing", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1, Elections: 1}, Lease: 2,
			States: 1_415_009, Depth: 25},
		{Name: "supersede", Servers: 2, Budget: Budget{Switches: 2, AgentFaults: 1, Elections: 1}, Lease: 1,
			States: 1_785_046, Depth: 34},
		{Name: "write", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1, Writes: 1, Elections: 1}, Lease: 1,
			States: 2_160_348, Depth: 31},
		{Name: "crash", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1, AgentFaults: 2}, Lease: 1,
			States: 2_183_630, Depth: 29},
		{Name: "failsafe", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1, AgentFaults: 1}, Failsafe: true, Lease: 1,
			States: 4_107_711, Depth: 37},
		{Name: "late", Proxies: 1, Servers: 2, Budget: Budget{Switches: 2}, Lease: 1,
			States: 4_889_169, Depth: 36},
		{Name: "members", Proxies: 2, Servers: 2, Budget: Budget{Switches: 1, Registrations: 2}, Unregistered: true, Lease: 1,
			States: 5_217_867, Depth: 31},
		{Name: "drain-time", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1, Writes: 1}, Drain: true, Lease: 2,
			States: 6_095_791, Depth: 33},
		{Name: "crash-write", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1, Writes: 1, AgentFaults: 1}, Lease: 1,
			States: 7_068_538, Depth: 34},
		{Name: "lossless-2", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1, Writes: 1, AgentFaults: 1}, Lossless: true, Lease: 1,
			States: 7_962_245, Depth: 35},
		{Name: "failsafe-time", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1}, Failsafe: true, Lease: 2,
			States: 9_544_138, Depth: 35},
		{Name: "failsafe-write", Proxies: 1, Servers: 2, Budget: Budget{Switches: 1, Writes: 1, Elections: 1}, Failsafe: true, Lease: 1,
			States: 15_346_627, Depth: 41},
		{Name: "failsafe-3", Proxies: 1, Servers: 3, Budget: Budget{Switches: 1}, Failsafe: true, Lease: 1,
			States: 15_892_828, Depth: 38},
		{Name: "failsafe-join", Proxies: 1, Servers: 3, Budget: Budget{Switches: 1}, Failsafe: true, Join: true, Lease: 1,
			States: 17_493_001, Depth: 42},
		{Name: "lossless-extra", Proxies: 1, Servers: 3, Budget: Budget{Switches: 1, Writes: 1}, Lossless: true, Unrecorded: true, Lease: 1,
			States: 28_754_933, Depth: 36},
		{Name: "planned", Proxies: 2, Servers: 2, Budget: Budget{Switches: 1, Writes: 1}, Lease: 1,
			States: 29_880_630, Depth: 36},
		{Name: "lossless", Proxies: 1, Servers: 3, Budget: Budget{Switches: 1, Writes: 1}, Lossless: true, Lease: 1,
			States: 61_304_376, Depth: 36},
	}
}

// ScopeNamed finds a scope.
func ScopeNamed(name string) (Scope, bool) {
	for _, sc := range Scopes() {
		if sc.Name == name {
			return sc, true
		}
	}
	return Scope{}, false
}

// initial is server 0 as primary of generation 1, with leases all round.
func (sc Scope) initial() State {
	s := State{Record: Record{Gen: 1, Step: Idle, CommitGen: 1}, Budget: sc.Budget}
	for i := range sc.Servers {
		s.Electable = s.Electable.with(i)
	}
	if sc.Join || sc.Unrecorded {
		s.Electable = s.Electable.without(2)
	}
	for p := range sc.Proxies {
		if sc.Unregistered && p == 1 {
			continue
		}
		s.Proxies[p] = Proxy{Stamp: stamp(1, Idle), CommitGen: 1, Open: true, Lease: sc.Lease}
		s.Counts.Proxy[p] = sc.Lease
		s.Registered = s.Registered.with(p)
	}
	for i := range sc.Servers {
		s.Servers[i] = Server{ReadOnly: true, Stamp: stamp(1, Idle), CommitGen: 1, IORunning: true, ReplicaSet: s.Electable}
	}
	primary := &s.Servers[0]
	primary.ReadOnly, primary.Primary, primary.Lease, primary.Armed, primary.IORunning = false, true, sc.Lease, true, false
	s.Counts.Agent[0] = sc.Lease
	return s
}
