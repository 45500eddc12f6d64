package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// ErrRecovery is the base of the refusals of Skip and Alone: nothing was changed.
var ErrRecovery = errors.New("not recovered")

// Recovery is what Skip or Alone would do, or did.
type Recovery struct {
	Index  uint64 // of the entry that was written
	Term   uint64
	Was    string // what stood there, or why it halted
	Epoch  uint64 // cluster epoch after it
	Backup string // copy of raft.db as it was; empty when nothing was changed
	Next   string // what a keeper would still stop at; empty when nothing
	Others []string
}

// Skip replaces the entry at which this keeper halts, and every other one of its
// group, by one that raises the cluster epoch. The bytes follow from the state
// before the entry alone, so that all keepers on which it is run get the same.
// Without apply it only says what it would do.
func (o *Offline) Skip(index uint64, apply bool) (Recovery, error) {
	if _, err := o.scan(); err != nil && !errors.Is(err, errNonsense) {
		return Recovery{}, fmt.Errorf("%w: %w", ErrRecovery, err)
	}
	l := o.logs.get()
	if index < l.first || index > l.last {
		return Recovery{}, fmt.Errorf("%w: entry %d is not in this keeper's log (%d to %d). If it ends before it, start it as it is when the others have skipped the entry: they send it the new one", ErrRecovery, index, l.first, l.last)
	}
	was, err := o.replay()
	if err != nil {
		return Recovery{}, fmt.Errorf("%w: %w", ErrRecovery, err)
	}
	switch {
	case was.haltAt == 0:
		return Recovery{}, fmt.Errorf("%w: nothing in this keeper's log halts it, up to entry %d", ErrRecovery, l.last)
	case was.haltAt != index:
		return Recovery{}, fmt.Errorf("%w: it halts at entry %d, not at %d: %w", ErrRecovery, was.haltAt, index, was.halt)
	}
	var entry raft.Log
	if err := o.logs.GetLog(index, &entry); err != nil {
		return Recovery{}, fmt.Errorf("%w: entry %d: %w", ErrRecovery, index, err)
	}
	r := Recovery{Index: index, Term: entry.Term, Was: was.halt.Error(), Epoch: was.state.Epoch() + 1}
	if entry.Data, err = raising(r.Epoch); err != nil || !apply {
		return r, err
	}
	if r.Backup, err = o.backup(fmt.Sprintf("%s.before-skip-%d", raftFile, index)); err != nil {
		return r, fmt.Errorf("%w: %w", ErrRecovery, err)
	}
	if err := o.logs.StoreLog(&entry); err != nil {
		return r, fmt.Errorf("replace entry %d: %w. %s has the log as it was", index, err, r.Backup)
	}
	now, err := o.replay()
	if err != nil {
		return r, fmt.Errorf("replace entry %d: %w. %s has the log as it was", index, err, r.Backup)
	}
	if now.haltAt != 0 {
		r.Next = fmt.Sprintf("entry %d: %v", now.haltAt, now.halt)
	}
	return r, nil
}

// raising is the entry of a recovery: no clock and nothing random is in it.
func raising(epoch uint64) ([]byte, error) {
	return fsm.Encode(fsm.Header{}, &fsm.RaiseClusterEpoch{Epoch: epoch})
}

// backup copies raft.db to a file beside it that must not be there yet.
func (o *Offline) backup(name string) (string, error) {
	path := filepath.Join(o.dir, name)
	in, err := os.Open(filepath.Join(o.dir, raftFile))
	if err != nil {
		return "", fmt.Errorf("back up: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("back up: %w (an earlier recovery's? Move it away first)", err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = syncDir(o.dir)
	}
	if err != nil {
		return "", fmt.Errorf("back up: %w", errors.Join(err, os.Remove(path)))
	}
	return path, nil
}

// Alone makes this member the only one of its group, for a group that has lost
// its majority for good, and raises the cluster epoch. Everything in this log
// counts as committed then; what only the others had is lost. It is refused while
// so many of the others answer peers that the group has a majority with this
// keeper. Without apply it only says what it would do.
func (o *Offline) Alone(ctx context.Context, peers Peers, apply bool) (Recovery, error) {
	found, err := o.scan()
	if err != nil {
		return Recovery{}, fmt.Errorf("%w: %w", ErrRecovery, err)
	}
	was, err := o.replay()
	if err != nil {
		return Recovery{}, fmt.Errorf("%w: %w", ErrRecovery, err)
	}
	if was.haltAt != 0 {
		return Recovery{}, fmt.Errorf("%w: it halts at entry %d: skip that first: %w", ErrRecovery, was.haltAt, was.halt)
	}
	config, _, err := o.configuration()
	if err != nil {
		return Recovery{}, fmt.Errorf("%w: %w", ErrRecovery, err)
	}
	self, ok := find(config, raft.ServerID(o.id.MemberID))
	if !ok || o.id.ClusterID == "" {
		return Recovery{}, fmt.Errorf("%w: this member (%s) is not in the group's configuration: recover another keeper of the group", ErrRecovery, o.id.MemberID)
	}
	r := Recovery{Term: found.LastTerm, Epoch: was.state.Epoch() + 1}
	if r.Index = found.Last; found.Snapshot != nil && found.Snapshot.Index >= found.Last {
		r.Index, r.Term = found.Snapshot.Index, found.Snapshot.Term
	}
	r.Index++
	if r.Others, err = o.lost(ctx, peers, config); err != nil || !apply {
		return r, err
	}
	if r.Backup, err = o.backup(fmt.Sprintf("%s.before-alone-%d", raftFile, r.Index)); err != nil {
		return r, fmt.Errorf("%w: %w", ErrRecovery, err)
	}
	if err := o.recoverAlone(self, r); err != nil {
		return r, fmt.Errorf("make this member the only one: %w. %s has the log as it was", err, r.Backup)
	}
	return r, nil
}

// lost are the other members; an error when they and this one still make a
// majority.
func (o *Offline) lost(ctx context.Context, peers Peers, config raft.Configuration) ([]string, error) {
	var all, answered []string
	alive := 0
	for _, s := range config.Servers {
		if string(s.ID) == o.id.MemberID {
			if s.Suffrage == raft.Voter {
				alive++
			}
			continue
		}
		all = append(all, fmt.Sprintf("%s at %s", s.ID, s.Address))
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		a, err := peers.Discover(asking, string(s.Address), api.KeeperDiscoverRequest{
			MemberID: o.id.MemberID, Name: o.id.Name, Address: string(s.Address), ClusterID: o.id.ClusterID,
		})
		cancel()
		if err == nil && a.ClusterID == o.id.ClusterID && a.MemberID == string(s.ID) {
			answered = append(answered, string(s.Address))
			if s.Suffrage == raft.Voter {
				alive++
			}
		}
	}
	if total := voters(config); alive >= total/2+1 && total > 1 {
		return all, fmt.Errorf("%w: %v answer as members of this group: with this keeper that is a majority (%d of %d). Start it, nothing is lost", ErrRecovery, answered, alive, total)
	}
	return all, nil
}

// recoverAlone writes a snapshot of everything with this member as the only one,
// and the entry that raises the epoch behind it.
func (o *Offline) recoverAlone(self raft.Server, r Recovery) error {
	conf := raft.DefaultConfig()
	conf.LocalID, conf.Logger = self.ID, hclog.NewNullLogger()
	var halted error
	machine := &applier{machine: fsm.New(), halt: func(err error) { halted = err }, size: prometheus.NewGauge(prometheus.GaugeOpts{Name: "recovery_snapshot_bytes"})}
	_, transport := raft.NewInmemTransport(self.Address)
	self.Suffrage = raft.Voter
	err := raft.RecoverCluster(conf, machine, o.logs, o.logs, o.snapshots, transport, raft.Configuration{Servers: []raft.Server{self}})
	if err = errors.Join(err, halted); err != nil {
		return err
	}
	data, err := raising(r.Epoch)
	if err != nil {
		return err
	}
	return o.logs.StoreLog(&raft.Log{Index: r.Index, Term: r.Term, Type: raft.LogCommand, Data: data})
}
