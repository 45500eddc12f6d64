package proxy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zerokeeper/zero/transport/durable"
)

// ErrForeign: the data directory belongs to a proxy of another cluster.
var ErrForeign = errors.New("the data directory belongs to another cluster")

// version is one configuration as it is kept on disk.
type version struct {
	ConfigID string `json:"configId"`
	Content  string `json:"content"`
}

// kept is what the disk has of configurations: the one that is applied, and the
// one before it, for RollbackConfig.
type kept struct {
	Cluster  string   `json:"cluster"`
	Applied  *version `json:"applied,omitempty"`
	Previous *version `json:"previous,omitempty"`
}

// store is the proxy's data directory:
//
//	lock                held by the process
//	config.json         kept
//	groups/NAME.json    groupState of a host group; it stays when the group is removed
type store struct {
	dir  string
	lock *durable.DirLock
}

func openStore(dir string) (*store, error) {
	lock, err := durable.Lock(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "groups"), 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("open data directory: %w", err), lock.Close())
	}
	return &store{dir, lock}, nil
}

func (s *store) close() error { return s.lock.Close() }

func (s *store) configs(cluster string) (kept, error) {
	var k kept
	found, err := durable.ReadJSON(filepath.Join(s.dir, "config.json"), &k)
	switch {
	case err != nil:
		return kept{}, fmt.Errorf("read the last configuration: %w", err)
	case found && k.Cluster != cluster:
		return kept{}, fmt.Errorf("%w: %s is of cluster %q, this proxy of %q: use another directory", ErrForeign, s.dir, k.Cluster, cluster)
	}
	k.Cluster = cluster
	return k, nil
}

func (s *store) saveConfigs(k kept) error {
	if err := durable.WriteJSON(filepath.Join(s.dir, "config.json"), k); err != nil {
		return fmt.Errorf("keep the configuration: %w", err)
	}
	return nil
}

func (s *store) groupFile(name string) (string, error) {
	if !validID.MatchString(name) {
		return "", fmt.Errorf("the name of host group %q cannot be a file name", name)
	}
	return filepath.Join(s.dir, "groups", name+".json"), nil
}

func (s *store) group(name string) (groupState, error) {
	var g groupState
	path, err := s.groupFile(name)
	if err == nil {
		_, err = durable.ReadJSON(path, &g)
	}
	if err != nil {
		return groupState{}, fmt.Errorf("read what host group %s remembers: %w", name, err)
	}
	return g, nil
}

func (s *store) saveGroup(name string, g groupState) error {
	path, err := s.groupFile(name)
	if err == nil {
		err = durable.WriteJSON(path, g)
	}
	if err != nil {
		return fmt.Errorf("remember host group %s: %w", name, err)
	}
	return nil
}
