package fsm

import (
	"slices"

	"github.com/hashicorp/go-memdb"
)

// State is the state after one command. It never changes; any number of
// goroutines may read it. Rows that it returns are shared: do not write to
// them.
type State struct {
	db    *memdb.MemDB
	index uint64
	term  uint64
}

func (s *State) txn() *memdb.Txn { return s.db.Txn(false) }

// Index is the log index of the last command.
func (s *State) Index() uint64 { return s.index }

// Term is the term of the last command's entry.
func (s *State) Term() uint64 { return s.term }

func (s *State) meta() meta { return (&txn{Txn: s.txn()}).meta() }

// ClusterID is empty until the first leader named the cluster.
func (s *State) ClusterID() string { return s.meta().ClusterID }

// Epoch is the cluster epoch.
func (s *State) Epoch() uint64 { return s.meta().Epoch }

// Members are the keepers, by id.
func (s *State) Members() []*Member { return all[Member](s.txn(), tableMembers, nil) }

// Member is one keeper, nil when unknown.
func (s *State) Member(id string) *Member { return first[Member](s.txn(), tableMembers, key(id)) }

// Proxies are the proxies of a cluster, of all clusters when it is empty.
func (s *State) Proxies(cluster string) []*Proxy {
	if cluster == "" {
		return all[Proxy](s.txn(), tableProxies, nil)
	}
	return all[Proxy](s.txn(), tableProxies, key(cluster))
}

// Proxy is one proxy, nil when unknown.
func (s *State) Proxy(cluster, id string) *Proxy {
	return first[Proxy](s.txn(), tableProxies, key(cluster, id))
}

// Agents are the agents, by datasource address.
func (s *State) Agents() []*Agent { return all[Agent](s.txn(), tableAgents, nil) }

// Agent is the agent of a datasource, nil when there is none.
func (s *State) Agent(address string) *Agent {
	return first[Agent](s.txn(), tableAgents, key(address))
}

// Configs are the versions of a cluster's configuration, oldest first; of all
// clusters when it is empty.
func (s *State) Configs(cluster string) []*Config {
	if cluster == "" {
		return all[Config](s.txn(), tableConfigs, nil)
	}
	return all[Config](s.txn(), tableConfigs, key(cluster))
}

// LiveConfig is the newest version, nil when there is none.
func (s *State) LiveConfig(cluster string) *Config { return liveConfig(s.txn(), cluster) }

// Group is a host group, nil when unknown.
func (s *State) Group(name string) *HostGroup {
	return first[HostGroup](s.txn(), tableGroups, key(name))
}

// Groups are the host groups, by name; removed ones are left out.
func (s *State) Groups() []*HostGroup {
	var groups []*HostGroup
	each(s.txn(), tableGroups, nil, func(g *HostGroup) bool {
		if !g.Removed {
			groups = append(groups, g)
		}
		return true
	})
	return groups
}

// GroupOf is the host group that a datasource belongs to, and its index there;
// nil when none does.
func (s *State) GroupOf(address string) (*HostGroup, int) {
	for _, g := range s.Groups() {
		for i, a := range g.Datasources {
			if a == address {
				return g, i
			}
		}
	}
	return nil, -1
}

// Switches are the switches, in no particular order.
func (s *State) Switches() []*Switch { return all[Switch](s.txn(), tableSwitches, nil) }

// Switch is one switch, nil when unknown.
func (s *State) Switch(id string) *Switch {
	return first[Switch](s.txn(), tableSwitches, key(id))
}

// Votes are the votes on a switch, by proxy.
func (s *State) Votes(switchID string) []*Vote {
	return all[Vote](s.txn(), tableVotes, key(switchID))
}

// Sections are all sections, by id and section. It reads the whole table.
func (s *State) Sections() []*Section { return all[Section](s.txn(), tableSections, nil) }

// Section is a section, nil when it does not exist.
func (s *State) Section(id, section string) *Section {
	return first[Section](s.txn(), tableSections, key(id, section))
}

// Session is a client's session, nil when unknown.
func (s *State) Session(id string) *Session {
	return first[Session](s.txn(), tableSessions, key(id))
}

// Sessions are the clients' sessions.
func (s *State) Sessions() []*Session { return all[Session](s.txn(), tableSessions, nil) }

// Replied is the remembered answer of a session's command, if there is one.
func (s *State) Replied(session string, seq uint64) (Result, bool) {
	if row := s.Session(session); row != nil {
		if i, ok := slices.BinarySearchFunc(row.Replies, seq, bySeq); ok {
			return row.Replies[i].result(), true
		}
	}
	return Result{}, false
}
