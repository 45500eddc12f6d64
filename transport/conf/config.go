package conf

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"
)

// Options change how a document is checked.
type Options struct {
	// Dev is development mode: literal and empty passwords are accepted, the
	// literal ones with a warning.
	Dev bool
}

// Config is a checked configuration. Every default is filled in. It must not be
// changed: proxies share it between connections.
type Config struct {
	// Name is basic.config_name, the name of the cluster.
	Name string
	// SlowLogTime is the duration above which a proxy logs a statement.
	SlowLogTime time.Duration
	// PushWhenFail: a push goes on after a proxy refused it.
	PushWhenFail bool
	StopService  StopService
	// Switch has the rules of groups that override nothing; the rules of a
	// group are in its HostGroup.
	Switch     Switch
	HostGroups []HostGroup
	Users      []User
	// Warnings are findings that do not make the document invalid, in the order
	// of lines.
	Warnings []Issue

	digest string
}

// StopService says when a proxy takes itself out of service.
type StopService struct {
	// Enabled is false if the section is absent: then a proxy never does, and
	// the other members mean nothing.
	Enabled bool
	// CloseMySQL: close the MySQL port too (offline_on_lost_keeper).
	CloseMySQL bool
	// RejectedSwitches is the number of refusals in a row after which a group
	// counts as down, at least 1.
	RejectedSwitches int
	// DownGroups is the number of down groups that it takes, at least 1.
	DownGroups int
	// Recover: return to service when all groups answer again.
	Recover bool
}

// HostGroup is a primary and its replicas.
type HostGroup struct {
	Name string
	// Write are the datasources that can be the primary, by index.
	Write []Datasource
	// Read are the servers that serve reads; it may be empty.
	Read []ReadSource
	// ActiveWrite is the index that seeds a new group, 0 if the document has
	// none. For a group that exists see [Remap].
	ActiveWrite int
	// EnableSwitch lets proxies and the detector request a switch.
	EnableSwitch bool
	// MaxConn bounds, InitConn pre-opens a proxy's connections to a datasource.
	MaxConn, InitConn int
	// User and Password are the backend account for probes and warm-up.
	User     string
	Password Ref
	// Switch has the group's rules, overrides applied.
	Switch Switch

	activeGiven bool
}

// User is an account that clients log in with.
type User struct {
	Name     string
	Password Ref
	// HostGroup is the name of an existing host group.
	HostGroup string
	// MaxConnections is per proxy.
	MaxConnections int
	// BackendUser and BackendPassword are the account on the backend: the
	// user's own unless Mapped.
	BackendUser     string
	BackendPassword Ref
	Mapped          bool
}

// HostGroup is the host group of that name.
func (c *Config) HostGroup(name string) (*HostGroup, bool) {
	i := slices.IndexFunc(c.HostGroups, func(g HostGroup) bool { return g.Name == name })
	if i < 0 {
		return nil, false
	}
	return &c.HostGroups[i], true
}

// User is the user of that name.
func (c *Config) User(name string) (*User, bool) {
	i := slices.IndexFunc(c.Users, func(u User) bool { return u.Name == name })
	if i < 0 {
		return nil, false
	}
	return &c.Users[i], true
}

// Digest is [Digest] of the document that c was parsed from.
func (c *Config) Digest() string { return c.digest }

// Digest identifies a document: SHA-256 of its bytes, in hexadecimal.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Addresses are the addresses of the write list, by index.
func (g *HostGroup) Addresses() []string {
	addresses := make([]string, len(g.Write))
	for i, ds := range g.Write {
		addresses[i] = ds.Address
	}
	return addresses
}

// GivenActive is active_write as [Remap] takes it: -1 if the document has none.
func (g *HostGroup) GivenActive() int {
	if !g.activeGiven {
		return -1
	}
	return g.ActiveWrite
}

// Datasource is the datasource at an index of the write list.
func (g *HostGroup) Datasource(index int) (Datasource, bool) {
	if index < 0 || index >= len(g.Write) {
		return Datasource{}, false
	}
	return g.Write[index], true
}

// IndexOf is the index of a canonical address in the write list, or -1.
func (g *HostGroup) IndexOf(address string) int {
	return slices.IndexFunc(g.Write, func(ds Datasource) bool { return ds.Address == address })
}
