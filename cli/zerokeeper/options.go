package main

import (
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/cli/daemon"
	"github.com/zerokeeper/zero/cli/daemon/settings"
	"github.com/zerokeeper/zero/cluster"
	"github.com/zerokeeper/zero/cluster/keeper/hook"
	"github.com/zerokeeper/zero/transport/lease"
)

// options are the keeper's flags.
type options struct {
	name      string
	data      string
	listen    string
	advertise string
	join      []string
	expect    int
	dev       bool
	profile   string

	lease, lostAfter, removeAfter, sessionIdle time.Duration

	snapshotEntries, trailingEntries uint64
	snapshotInterval                 time.Duration

	diskTimeout time.Duration
	diskReserve size

	hooksFile string
	hooks     []hook.Spec // of that file

	end verdict
}

func (o *options) app() daemon.App {
	o.listen, o.profile, o.expect = "127.0.0.1:7001", "default", 3
	o.lease, o.lostAfter, o.removeAfter, o.sessionIdle = lease.Default, 15*time.Second, 25*time.Second, time.Hour
	storage := cluster.DefaultConfig()
	o.snapshotEntries, o.trailingEntries, o.snapshotInterval = storage.SnapshotThreshold, storage.TrailingLogs, storage.SnapshotInterval
	o.diskTimeout, o.diskReserve = storage.DiskTimeout, size(storage.DiskReserve)
	return daemon.App{
		Name:  "zerokeeper",
		Short: "zerokeeper is a member of the group that holds what the fleet agrees on",
		Example: `  Three keepers, the same command line on each but for name, data and addresses:
  zerokeeper --name k1 --data /var/lib/zero/k1 --listen 10.0.0.1:7001 --http 10.0.0.1:7101 \
             --bootstrap-expect 3 --join 10.0.0.1:7001,10.0.0.2:7001,10.0.0.3:7001

  One keeper in memory, to try things:
  zerokeeper --dev`,
		HTTP: "127.0.0.1:7101",
		Flags: []settings.Flag{
			{Name: "name", Value: &o.name, Arg: "name", Usage: "name of this keeper, for people; unique in the group (default: the host's name)"},
			{Name: "data", Value: &o.data, Arg: "dir", Usage: "directory that belongs to this keeper alone"},
			{Name: "listen", Value: &o.listen, Arg: "host:port", Usage: "port for machines: keepers, proxies, agents, zeroctl"},
			{Name: "advertise", Value: &o.advertise, Arg: "host:port", Usage: "how others reach that port (default: --listen)"},
			{Name: "join", Value: &o.join, Arg: "host:port,…", Usage: "ports for machines of the keepers to form a group with, or to join; the own one may be among them"},
			{Name: "bootstrap-expect", Value: &o.expect, Arg: "n", Usage: "how many fresh keepers form a new group; the same on each"},
			{Name: "raft-profile", Value: &o.profile, Arg: "name", Usage: "default, or fast: quicker elections, for keepers with cores and disks of their own"},
			{Name: "snapshot-entries", Value: &o.snapshotEntries, Arg: "n", Usage: "how many log entries are applied between two snapshots"},
			{Name: "snapshot-interval", Value: &o.snapshotInterval, Arg: "duration", Usage: "how often it is looked whether a snapshot is due"},
			{Name: "trailing-entries", Value: &o.trailingEntries, Arg: "n", Usage: "how many log entries are kept behind a snapshot for keepers that are a little behind"},
			{Name: "disk-timeout", Value: &o.diskTimeout, Arg: "duration", Usage: "how long one call of the log's store may take; after that the disk counts as hung, and the keeper exits with code 74 so that another leads"},
			{Name: "disk-reserve", Value: &o.diskReserve, Arg: "size", Usage: "size of a file that is given up when the disk is full, and how much must be free for writes to be taken (64MiB; less on a small volume); 0 for none"},
			{Name: "lease", Value: &o.lease, Arg: "duration", Usage: "how long a proxy may write, and a primary stay writable, without the keepers; a failover of a host that is lost waits as long; the same on each keeper"},
			{Name: "lost-after", Value: &o.lostAfter, Arg: "duration", Usage: "silence after which a proxy or agent is lost; the same on each keeper"},
			{Name: "remove-after", Value: &o.removeAfter, Arg: "duration", Usage: "silence after which one that is lost, or not up yet, is taken off the list; the same on each keeper"},
			{Name: "session-idle", Value: &o.sessionIdle, Arg: "duration", Usage: "how long the answers of a client that went silent are remembered; the same on each keeper"},
			{Name: "hooks", Value: &o.hooksFile, Arg: "path", Usage: "YAML file with the programs and webhooks that are told of switches while this keeper leads; the same on each keeper, writable by its owner alone"},
			{Name: "dev", Value: &o.dev, Usage: "one keeper in memory: everything is lost when it stops; literal passwords are accepted"},
		},
		Validate: o.validate,
		Run:      o.run,
		Commands: []*cobra.Command{o.inspectCommand(), o.recoverCommand()},
	}
}

func (o *options) validate() error {
	if o.name == "" {
		name, err := hostname()
		if err != nil {
			return err
		}
		o.name = name
	}
	if o.advertise == "" {
		o.advertise = o.listen
	}
	host, _, err := net.SplitHostPort(o.advertise)
	if err != nil {
		return fmt.Errorf("--advertise %q: %w", o.advertise, err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		return fmt.Errorf("--advertise %q: others cannot reach that; name this host", o.advertise)
	}
	for _, k := range o.join {
		if _, port, err := net.SplitHostPort(k); err != nil || port == "" {
			return fmt.Errorf("--join: %q: want host:port", k)
		}
	}
	timing, err := cluster.Profile(o.profile)
	if err != nil {
		return fmt.Errorf("--raft-profile: %w", err)
	}
	if err := lease.For(o.lease).Validate(); err != nil {
		return fmt.Errorf("--lease: %w", err)
	}
	if o.hooks, err = loadHooks(o.hooksFile, o.dev); err != nil {
		return fmt.Errorf("--hooks: %w", err)
	}
	switch {
	case o.lostAfter < 3*lease.For(o.lease).Beat || o.removeAfter < o.lostAfter:
		return fmt.Errorf("--lost-after %v, --remove-after %v: want at least three heartbeats (%v), and the second not below the first", o.lostAfter, o.removeAfter, 3*lease.For(o.lease).Beat)
	case o.snapshotEntries == 0 || o.trailingEntries == 0 || o.snapshotInterval < 5*time.Millisecond:
		return fmt.Errorf("--snapshot-entries %d, --trailing-entries %d, --snapshot-interval %v: want numbers above 0 and at least 5ms", o.snapshotEntries, o.trailingEntries, o.snapshotInterval)
	case o.diskTimeout < 3*timing.Election:
		return fmt.Errorf("--disk-timeout %v: want at least three elections (%v), else a slow write ends the keeper", o.diskTimeout, 3*timing.Election)
	case o.sessionIdle < time.Second:
		return fmt.Errorf("--session-idle %v: want at least 1s", o.sessionIdle)
	case o.dev && o.data != "":
		return fmt.Errorf("--dev keeps everything in memory: leave --data out, or --dev")
	case !o.dev && o.data == "":
		return fmt.Errorf("--data is needed (or --dev, to try things in memory)")
	case !o.dev && o.expect > 1 && len(o.join) == 0:
		return fmt.Errorf("--bootstrap-expect %d needs --join with the addresses of the keepers", o.expect)
	}
	return nil
}
