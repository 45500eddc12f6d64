package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerokeeper/zero/fsm"
)

// Bounds of a configuration.
const (
	maxNameLen   = 64 // bytes of a keeper's name
	maxExpect    = 9  // voters of a bootstrap
	maxMembers   = 15 // keepers of a group, voters or not
	maxJoinAddrs = 32
	maxReserve   = 64 << 30 // bytes

	minDiskElections = 3 // Elections in a DiskTimeout, at least
)

// Timing is how soon a group notices that its leader is gone, and how long it
// bears silence before it does.
type Timing struct {
	// Heartbeat is how long a follower hears nothing before it asks for an
	// election. Leaders send five to ten times as often.
	Heartbeat time.Duration
	// Election is how long a candidate waits for votes, between one and two
	// times this. At least Heartbeat.
	Election time.Duration
	// Lease is how long a leader goes on without hearing from a quorum. At most
	// Heartbeat. Reads do not depend on it.
	Lease time.Duration
	// Commit is how soon an idle leader tells the followers what is committed.
	Commit time.Duration
}

// Profiles of Timing by name.
var profiles = map[string]Timing{
	"default": {Heartbeat: 500 * time.Millisecond, Election: 500 * time.Millisecond, Lease: 500 * time.Millisecond, Commit: 25 * time.Millisecond},
	"fast":    {Heartbeat: 200 * time.Millisecond, Election: 200 * time.Millisecond, Lease: 200 * time.Millisecond, Commit: 10 * time.Millisecond},
}

// Profile is the Timing of that name: "default", or "fast" for keepers with
// cores and disks of their own.
func Profile(name string) (Timing, error) {
	if t, ok := profiles[name]; ok {
		return t, nil
	}
	return Timing{}, fmt.Errorf("raft profile %q: want default or fast", name)
}

// Config is what a Node is opened with. DefaultConfig has the defaults.
type Config struct {
	// Name is for people and must be unique in the group, at most 64 bytes.
	Name string
	// DataDir belongs to this node alone. Unused with Dev.
	DataDir string
	// Dev keeps everything in memory and makes a group of this node alone.
	Dev bool
	// Storage stands in for DataDir when it is set. It is the seam for
	// simulations.
	Storage Storage

	// Advertise is the host:port under which the other keepers reach this
	// node's machine port.
	Advertise string
	// HTTPAdvertise is the host:port of its HTTP port, for people; may be empty.
	HTTPAdvertise string
	// Version of the program, for people.
	Version string
	// FeatureLevel is the highest level of commands that this program knows.
	FeatureLevel uint32

	// BootstrapExpect is how many fresh keepers form the group, the same on each
	// of them. 0 only joins a group that exists.
	BootstrapExpect int
	// Join are machine ports (host:port) of keepers to ask, at most 32; the own
	// one may be among them.
	Join []string
	// Peers carries what keepers ask each other. Not needed with Dev or for a
	// group of one.
	Peers Peers

	// Listener yields the connections that open with a Raft preamble, the
	// preamble still unread. The node closes it.
	Listener net.Listener
	// Dial opens a connection to a machine port for Raft; the default is TCP.
	// It is the seam for TLS.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	// Machine is the state machine; the default is fsm.New().
	Machine Machine
	Logger  hclog.Logger
	// Registry receives the metrics zero_cluster_*; nil means a private one.
	Registry *prometheus.Registry

	Timing Timing
	// SnapshotThreshold is how many entries are applied between two snapshots.
	SnapshotThreshold uint64
	// SnapshotInterval is how often the threshold is looked at; between one and
	// two times this.
	SnapshotInterval time.Duration
	// TrailingLogs is how many entries are kept behind a snapshot for followers
	// that are a little behind.
	TrailingLogs uint64
	// ApplyTimeout bounds every wait for the group: for a proposal, then the
	// outcome is unknown; for a proof of leadership, then the read is refused.
	ApplyTimeout time.Duration
	// DiskTimeout is how long one call of the log or stable store may take
	// before the node ends with ErrDiskHung; 3 s, and at least three Elections.
	DiskTimeout time.Duration
	// DiskReserve is the size in bytes of a file that is given up when the
	// volume is full, so that what frees space can still run, and how much must
	// be free for clients' writes to be taken. DefaultConfig has 64 MiB; it is
	// less on a small volume. 0: no such file, and only the smallest mark.
	DiskReserve int64
	// CompareEvery is after how many commands the keepers compare their states,
	// CompareInterval after what time if fewer changed it.
	CompareEvery    uint64
	CompareInterval time.Duration
	// Now is the clock that stamps proposals; the default is time.Now.
	Now func() time.Time

	// wrapStore is the tests' way to put faults between raft and its store.
	wrapStore func(logStore) logStore
	// statDisk stands in for the volume in tests.
	statDisk func(dir string) (volume, error)
	// compareWithin is how long a comparison waits for the voters' hashes.
	compareWithin time.Duration
	// stallTimeout is how long an RPC that has begun may go on without a byte.
	stallTimeout time.Duration
}

// DefaultConfig has every default; Name, Advertise, Listener and either DataDir
// or Dev are still to be set.
func DefaultConfig() Config {
	return Config{
		FeatureLevel:      1,
		Timing:            profiles["default"],
		SnapshotThreshold: 8192,
		SnapshotInterval:  30 * time.Second,
		TrailingLogs:      10240,
		ApplyTimeout:      5 * time.Second,
		DiskTimeout:       3 * time.Second,
		DiskReserve:       64 << 20,
		CompareEvery:      4096,
		CompareInterval:   time.Minute,
		compareWithin:     30 * time.Second,
		stallTimeout:      stallTimeout,
	}
}

// withDefaults fills in what may be left out.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.Timing == (Timing{}) {
		c.Timing = d.Timing
	}
	if c.SnapshotThreshold == 0 {
		c.SnapshotThreshold = d.SnapshotThreshold
	}
	if c.SnapshotInterval == 0 {
		c.SnapshotInterval = d.SnapshotInterval
	}
	if c.TrailingLogs == 0 {
		c.TrailingLogs = d.TrailingLogs
	}
	if c.ApplyTimeout == 0 {
		c.ApplyTimeout = d.ApplyTimeout
	}
	if c.DiskTimeout == 0 {
		c.DiskTimeout = max(d.DiskTimeout, minDiskElections*c.Timing.Election)
	}
	if c.CompareEvery == 0 {
		c.CompareEvery = d.CompareEvery
	}
	if c.CompareInterval == 0 {
		c.CompareInterval = d.CompareInterval
	}
	if c.compareWithin == 0 {
		c.compareWithin = d.compareWithin
	}
	if c.stallTimeout == 0 {
		c.stallTimeout = d.stallTimeout
	}
	if c.FeatureLevel == 0 {
		c.FeatureLevel = d.FeatureLevel
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Machine == nil {
		c.Machine = fsm.New()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	if c.Dev {
		c.BootstrapExpect, c.Join = 1, nil
	}
	return c
}

// Validate says what is wrong with the configuration. What may be left out is
// not missed.
func (c Config) Validate() error {
	c = c.withDefaults()
	if err := c.validateGroup(); err != nil {
		return err
	}
	if err := checkAddress(c.Advertise); err != nil {
		return fmt.Errorf("cluster config: advertised address: %w", err)
	}
	if err := checkHTTP(c.HTTPAdvertise); err != nil {
		return fmt.Errorf("cluster config: %w", err)
	}
	if c.Listener == nil {
		return errors.New("cluster config: no listener")
	}
	return c.validateTimes()
}

func (c Config) validateGroup() error {
	if err := checkName(c.Name); err != nil {
		return fmt.Errorf("cluster config: %w", err)
	}
	if c.DataDir == "" && !c.Dev && c.Storage == nil {
		return errors.New("cluster config: no data directory (a keeper in memory is --dev)")
	}
	if c.BootstrapExpect < 0 || c.BootstrapExpect > maxExpect {
		return fmt.Errorf("cluster config: bootstrap-expect is %d: want 0 to %d (3 or 5 are usual)", c.BootstrapExpect, maxExpect)
	}
	if len(c.Join) > maxJoinAddrs {
		return fmt.Errorf("cluster config: %d addresses to join, at most %d", len(c.Join), maxJoinAddrs)
	}
	for _, a := range c.Join {
		if err := checkAddress(a); err != nil {
			return fmt.Errorf("cluster config: address to join: %w", err)
		}
	}
	others := slices.ContainsFunc(c.Join, func(a string) bool { return a != c.Advertise })
	if c.BootstrapExpect > 1 && !others {
		return fmt.Errorf("cluster config: bootstrap-expect is %d, but no other keeper's address is given to join", c.BootstrapExpect)
	}
	if others && c.Peers == nil {
		return errors.New("cluster config: addresses to join, but no client to ask them with")
	}
	return nil
}

func (c Config) validateTimes() error {
	t := c.Timing
	switch {
	case t.Heartbeat < 5*time.Millisecond || t.Election < t.Heartbeat:
		return fmt.Errorf("cluster config: heartbeat %v, election %v: want at least 5ms, and election not below heartbeat", t.Heartbeat, t.Election)
	case t.Lease < 5*time.Millisecond || t.Lease > t.Heartbeat:
		return fmt.Errorf("cluster config: lease %v: want at least 5ms and at most the heartbeat (%v)", t.Lease, t.Heartbeat)
	case t.Commit < time.Millisecond:
		return fmt.Errorf("cluster config: commit %v: want at least 1ms", t.Commit)
	case c.SnapshotInterval < 5*time.Millisecond:
		return fmt.Errorf("cluster config: snapshot interval %v: want at least 5ms", c.SnapshotInterval)
	case c.CompareInterval < 10*time.Millisecond:
		return fmt.Errorf("cluster config: compare interval %v: want at least 10ms", c.CompareInterval)
	case c.ApplyTimeout < 10*time.Millisecond:
		return fmt.Errorf("cluster config: apply timeout %v: want at least 10ms", c.ApplyTimeout)
	case c.DiskTimeout < minDiskElections*t.Election:
		return fmt.Errorf("cluster config: disk timeout %v: want at least %d elections (%v), else a slow write ends the keeper", c.DiskTimeout, minDiskElections, minDiskElections*t.Election)
	case c.DiskReserve < 0 || c.DiskReserve > maxReserve:
		return fmt.Errorf("cluster config: disk reserve of %d bytes: want 0 to %d", c.DiskReserve, int64(maxReserve))
	}
	return nil
}

// checkName refuses what cannot be a keeper's name.
func checkName(name string) error {
	if name == "" || len(name) > maxNameLen {
		return fmt.Errorf("a keeper's name has 1 to %d bytes, this has %d", maxNameLen, len(name))
	}
	for _, r := range name {
		if r <= ' ' || r > '~' {
			return fmt.Errorf("keeper's name %q: want printable ASCII without spaces", name)
		}
	}
	return nil
}

// checkAddress refuses what cannot be another keeper's host:port.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q: %w", address, err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) || port == "" || port == "0" || len(address) > 255 {
		return fmt.Errorf("%q: want host:port that other machines can dial", address)
	}
	return nil
}

// checkHTTP refuses what is no host:port; it is shown to people, not dialed,
// so a port on all addresses will do.
func checkHTTP(address string) error {
	if address == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil || len(address) > 255 {
		return fmt.Errorf("HTTP address %.300q: want host:port", address)
	}
	return nil
}
