package cluster

import (
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// addressBook finds a member's address. Raft's configuration has one for each;
// a member that came back under another address is believed at once when it
// says so itself (KeeperDiscover), so that a group whose addresses all changed
// finds together again and can then write the new ones down.
type addressBook struct {
	self     raft.ServerID
	local    string
	registry func() raft.Configuration

	mu   sync.Mutex
	seen map[raft.ServerID]sighting
}

// sighting is what a member said of itself. It counts only as long as the
// configuration says what it said then.
type sighting struct {
	address    string
	configured raft.ServerAddress
}

var _ raft.ServerAddressProvider = (*addressBook)(nil)

// ServerAddr is where raft sends what is meant for id: the plain advertised
// address for this node (it goes into votes and headers), a target for others.
func (b *addressBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if id == b.self {
		return raft.ServerAddress(b.local), nil
	}
	if address := b.address(id); address != "" {
		return target(string(id), address), nil
	}
	return "", fmt.Errorf("member %s is not in the configuration", id)
}

// address is where id is, empty when unknown.
func (b *addressBook) address(id raft.ServerID) string {
	if id == b.self {
		return b.local
	}
	server, ok := find(b.registry(), id)
	if !ok {
		return ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.seen[id]; ok && s.configured == server.Address {
		return s.address
	}
	delete(b.seen, id)
	return string(server.Address)
}

// sighted notes that a member of the group says to be at address.
func (b *addressBook) sighted(id raft.ServerID, address string) {
	server, ok := find(b.registry(), id)
	if !ok || id == b.self {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if string(server.Address) == address {
		delete(b.seen, id)
		return
	}
	if b.seen == nil {
		b.seen = make(map[raft.ServerID]sighting)
	}
	b.seen[id] = sighting{address: address, configured: server.Address}
}

// find is the server of that id.
func find(c raft.Configuration, id raft.ServerID) (raft.Server, bool) {
	for _, s := range c.Servers {
		if s.ID == id {
			return s, true
		}
	}
	return raft.Server{}, false
}
