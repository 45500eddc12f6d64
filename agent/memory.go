package agent

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/durable"
)

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
}

// notebook keeps the memory in a file.
type notebook struct {
	path string
	memory
}

func openNotebook(dir, address string) (*notebook, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	n := &notebook{path: filepath.Join(dir, "agent.json")}
	found, err := durable.ReadJSON(n.path, &n.memory)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read what the agent remembers: %w", err)
	case found && n.Address != address:
		return nil, fmt.Errorf("the data directory %s belongs to the agent of %s, not %s: use another one", dir, n.Address, address)
	}
	n.Address = address
	return n, nil
}

// write replaces the memory, on the disk first. When that fails, the memory is
// what it was: nothing was promised.
func (n *notebook) write(m memory) error {
	if m == n.memory {
		return nil
	}
	if err := durable.WriteJSON(n.path, m); err != nil {
		return fmt.Errorf("remember: %w", err)
	}
	n.memory = m
	return nil
}
