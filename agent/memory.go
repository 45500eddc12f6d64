package agent

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/durable"
)

// ErrForeign: the data directory belongs to the agent of another server.
var ErrForeign = errors.New("the data directory belongs to the agent of another server")

// Roles that an agent remembers for its server.
const (
	rolePrimary    = "primary"
	roleNotPrimary = "not primary"
)

// memory is what must survive the agent (R16). It is on the disk before any
// answer that depends on it.
type memory struct {
	Address   string    `json:"address"` // whose memory this is
	HostGroup string    `json:"hostGroup,omitempty"`
	Stamp     api.Stamp `json:"stamp"`              // highest seen
	Role      string    `json:"role,omitempty"`     // what this server was last told to be
	Prepared  uint64    `json:"prepared,omitempty"` // generation that this server was prepared for
	Committed uint64    `json:"committed"`          // generation of the last commit heard of

	// Stopped is the generation in which this replica was told to receive nothing
	// more (R19), 0 when it may. It stays so until it is told to follow or to resume.
	Stopped    uint64 `json:"stopped,omitempty"`
	ReplicaSet string `json:"replicaSet,omitempty"` // recorded replicas, as last told as primary (R17), addresses with commas
	ServerID   string `json:"serverId,omitempty"`   // of the server, for orders while it is dead
	DataDir    string `json:"dataDir,omitempty"`    // its data directory
	Primary    string `json:"primary,omitempty"`    // whom the commit made the primary (R25)

	ReplicaVersion uint64 `json:"replicaVersion,omitempty"` // of the record that ReplicaSet is from
	// Acks: the record named this server as one that may acknowledge (R20), and since then
	// it was not confirmed that it does not.
	Acks bool `json:"acks,omitempty"`

	// Of failsafe, as the newest grant says (R18): whether the group uses it, where
	// its agents listen ("address=listen" with commas), and the length of a lease.
	Failsafe bool   `json:"failsafe,omitempty"`
	Peers    string `json:"peers,omitempty"`
	LeaseMS  int64  `json:"leaseMs,omitempty"`
	// Lent is the generation of a switch that took the role away and may give
	// it back: until its commit is heard of, or the role is had again.
	Lent uint64 `json:"lent,omitempty"`
}

// in is the memory for a host group. Generations are a group's own: those of
// another one mean nothing.
func (m memory) in(hostGroup string) memory {
	if m.HostGroup != "" && m.HostGroup != hostGroup {
		m = memory{Address: m.Address, ServerID: m.ServerID, DataDir: m.DataDir}
	}
	m.HostGroup = hostGroup
	return m
}

// onDisk is what is written for its own sake. Another step alone is not: a
// server's role does not change without more than that.
func (m memory) onDisk() memory {
	m.Stamp.Step = m.stepOnDisk()
	return m
}

// notebook keeps the memory in the file agent.json of the data directory, which
// it holds.
type notebook struct {
	path string
	lock *durable.DirLock
	memory
	fresh bool // there was no memory
}

func openNotebook(dir, address string) (*notebook, error) {
	lock, err := durable.Lock(dir)
	if err != nil {
		return nil, err
	}
	n := &notebook{path: filepath.Join(dir, "agent.json"), lock: lock}
	found, err := durable.ReadJSON(n.path, &n.memory)
	switch {
	case err != nil:
		err = fmt.Errorf("read what the agent remembers: %w", err)
	case found && n.Address != address:
		err = fmt.Errorf("%w: %s is of %s, not %s: use another directory", ErrForeign, dir, n.Address, address)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	n.Address, n.fresh = address, !found
	return n, nil
}

// write puts a memory on the disk, unless that is there already.
func (n *notebook) write(m memory) error {
	if m.onDisk() == n.onDisk() || forgetful {
		return nil
	}
	if err := durable.WriteJSON(n.path, m); err != nil {
		return fmt.Errorf("remember: %w", err)
	}
	return nil
}
