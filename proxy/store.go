package proxy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zerokeeper/zero/transport/durable"
)

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
//	config.json         kept
//	groups/NAME.json    groupState of a host group
type store struct{ dir string }

func openStore(dir string) (store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "groups"), 0o700); err != nil {
		return store{}, fmt.Errorf("open data directory: %w", err)
	}
	return store{dir}, nil
}

func (s store) configs(cluster string) (kept, error) {
	var k kept
	found, err := durable.ReadJSON(filepath.Join(s.dir, "config.json"), &k)
	switch {
	case err != nil:
		return kept{}, fmt.Errorf("read the last configuration: %w", err)
	case found && k.Cluster != cluster:
		return kept{}, fmt.Errorf("the data directory %s belongs to a proxy of cluster %q, not %q: use another one", s.dir, k.Cluster, cluster)
	}
	k.Cluster = cluster
	return k, nil
}

func (s store) saveConfigs(k kept) error {
	if err := durable.WriteJSON(filepath.Join(s.dir, "config.json"), k); err != nil {
		return fmt.Errorf("keep the configuration: %w", err)
	}
	return nil
}

func (s store) groupFile(name string) (string, error) {
	if !validID.MatchString(name) {
		return "", errors.New("a host group's name cannot be a file name")
	}
	return filepath.Join(s.dir, "groups", name+".json"), nil
}

func (s store) group(name string) (groupState, error) {
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

func (s store) saveGroup(name string, g groupState) error {
	path, err := s.groupFile(name)
	if err != nil {
		return err
	}
	return durable.WriteJSON(path, g)
}
