package fsm

import (
	"fmt"
	"slices"

	"github.com/hashicorp/go-memdb"
)

// Limits of configurations.
const (
	maxConfig     = 384 << 10 // bytes of the content
	maxVersions   = 200       // kept in each cluster; the oldest go first
	maxGroups     = 4096
	maxGroupSlots = 64
)

// PublishConfig makes a configuration the live one of its cluster. The leader
// has parsed and checked the content; Groups is what the state machine needs
// of it.
type PublishConfig struct {
	Cluster  string
	ConfigID string
	Previous string // the live version that the leader saw; empty for none
	Content  []byte
	Digest   string
	Author   string
	Comment  string
	Of       string
	Groups   []GroupSpec
}

// GroupSpec is a host group as a configuration names it.
type GroupSpec struct {
	Name        string
	Datasources []string
	ActiveWrite int // seeds a new group; ignored afterwards
	Settings    Settings
}

func (*PublishConfig) commandType() Type { return typePublishConfig }

func (c *PublishConfig) apply(t *txn) ([]byte, *Refusal) {
	if !validName(c.Cluster, c.ConfigID) || len(c.Content) > maxConfig || len(c.Groups) > maxGroups {
		return nil, refuse(CodeConfigCheck, "a configuration needs a cluster and a version, at most %d bytes and %d host groups", maxConfig, maxGroups)
	}
	live := liveConfig(t.Txn, c.Cluster)
	row := &Config{
		Cluster: c.Cluster, ConfigID: c.ConfigID, Number: 1, Content: c.Content, Digest: c.Digest,
		Time: t.header.Time, Author: clip(c.Author), Comment: clip(c.Comment), Of: c.Of,
	}
	seen := ""
	if live != nil {
		seen, row.Number = live.ConfigID, live.Number+1
	}
	if seen != c.Previous {
		return nil, refuse(CodeStaleGeneration, "the live version is %q, not %q: it was published meanwhile", seen, c.Previous)
	}
	if r := t.applyGroups(c); r != nil {
		return nil, r
	}
	t.put(tableConfigs, row)
	for _, old := range all[Config](t.Txn, tableConfigs, key(c.Cluster)) {
		if row.Number-old.Number < maxVersions {
			break
		}
		t.drop(tableConfigs, old)
	}
	return []byte(row.ConfigID), nil
}

// applyGroups creates, re-maps and removes the cluster's host groups.
func (t *txn) applyGroups(c *PublishConfig) *Refusal {
	owner := map[string]string{} // datasource → group, of other clusters
	each(t.Txn, tableGroups, nil, func(g *HostGroup) bool {
		if g.Cluster != c.Cluster && !g.Removed {
			for _, a := range g.Datasources {
				owner[a] = g.Name
			}
		}
		return true
	})
	named := map[string]bool{}
	for _, spec := range c.Groups {
		if named[spec.Name] || !validName(spec.Name) {
			return refuse(CodeConfigCheck, "host group %q: its name is empty, too long or there twice", spec.Name)
		}
		named[spec.Name] = true
		if len(spec.Datasources) == 0 || len(spec.Datasources) > maxGroupSlots {
			return refuse(CodeConfigCheck, "host group %s: %d datasources, want 1 to %d", spec.Name, len(spec.Datasources), maxGroupSlots)
		}
		for _, a := range spec.Datasources {
			if g, ok := owner[a]; ok {
				return refuse(CodeConfigCheck, "datasource %s is in host groups %s and %s: a server belongs to one group", a, g, spec.Name)
			}
			owner[a] = spec.Name
		}
		if r := t.applyGroup(c.Cluster, spec); r != nil {
			return r
		}
	}
	for _, g := range all[HostGroup](t.Txn, tableGroups, nil) {
		if g.Cluster != c.Cluster || g.Removed || named[g.Name] {
			continue
		}
		if g.OpenSwitch != "" {
			return refuse(CodeSwitchInProgress, "host group %s cannot be removed while switch %s is open", g.Name, g.OpenSwitch)
		}
		if g.IsFrozen() {
			return refuse(CodeGroupFrozen, "host group %s cannot be removed while it is frozen: %s", g.Name, g.Frozen)
		}
		gone := *g
		gone.Removed = true
		t.put(tableGroups, &gone)
	}
	return nil
}

// applyGroup makes one group what spec says. Its writable stays the same
// server, wherever that stands in the list now.
func (t *txn) applyGroup(cluster string, spec GroupSpec) *Refusal {
	old := first[HostGroup](t.Txn, tableGroups, key(spec.Name))
	if old != nil && !old.Removed && old.Cluster != cluster {
		return refuse(CodeConfigCheck, "host group %s belongs to cluster %s: choose another name", spec.Name, old.Cluster)
	}
	if old == nil || old.Removed {
		if spec.ActiveWrite < 0 || spec.ActiveWrite >= len(spec.Datasources) {
			return refuse(CodeConfigCheck, "host group %s: active_write %d, want 0 to %d", spec.Name, spec.ActiveWrite, len(spec.Datasources)-1)
		}
		g := &HostGroup{Name: spec.Name, Step: StepIdle}
		if old != nil { // its generations are spent
			g = new(HostGroup)
			*g = *old
			g.Generation++
			g.Committed, g.Step, g.Removed = g.Generation, StepIdle, false
			g.Recorded, g.RecordVersion, g.Degraded = nil, t.index, Degraded{}
		}
		g.Cluster, g.Datasources, g.Writable, g.Settings = cluster, spec.Datasources, spec.ActiveWrite, spec.Settings
		t.put(tableGroups, g)
		return nil
	}
	g := *old
	if !slices.Equal(old.Datasources, spec.Datasources) {
		if old.OpenSwitch != "" {
			return refuse(CodeSwitchInProgress, "the datasources of host group %s cannot change while switch %s is open", spec.Name, old.OpenSwitch)
		}
		if gone := slices.IndexFunc(old.Datasources, func(a string) bool { return !slices.Contains(spec.Datasources, a) }); old.IsFrozen() && gone >= 0 {
			return refuse(CodeGroupFrozen, "host group %s is frozen: %s cannot leave it, its agent may know who the primary is", spec.Name, old.Datasources[gone])
		}
		writable := old.Datasources[old.Writable]
		if g.Writable = slices.Index(spec.Datasources, writable); g.Writable < 0 {
			return refuse(CodeConfigCheck, "host group %s: %s is the writable datasource; switch away from it before you remove it", spec.Name, writable)
		}
		// Indexes mean other servers now: what was said about the old ones is late.
		g.Generation++
		g.Step = StepIdle
		g.Datasources = spec.Datasources
		t.recordDatasources(&g)
	}
	g.Settings = spec.Settings
	t.put(tableGroups, &g)
	return nil
}

// liveConfig is the newest version of a cluster, nil when there is none.
func liveConfig(tx *memdb.Txn, cluster string) *Config {
	row, err := tx.Last(tableConfigs, "id_prefix", key(cluster))
	if err != nil {
		panic(fmt.Sprintf("fsm: read %s: %v", tableConfigs, err)) // the schema is fixed: an error of the program
	}
	if row == nil {
		return nil
	}
	return row.(*Config)
}
