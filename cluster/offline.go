package cluster

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/zerokeeper/zero/fsm"
)

// Offline is the data directory of a keeper that does not run. It holds the
// directory's lock until it is closed.
type Offline struct {
	dir       string
	bolt      *raftboltdb.BoltStore
	logs      *sealed
	snapshots *snapshotFiles
	id        identity
}

// OpenOffline opens a data directory to look at it, or, when write is set, to
// change it. It fails for one that a keeper has open and for one whose files
// cannot be read at all.
func OpenOffline(dir string, write bool, log hclog.Logger) (*Offline, error) {
	if log == nil {
		log = hclog.NewNullLogger()
	}
	id, err := readIdentity(dir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(filepath.Join(dir, raftFile)); id == nil || err != nil || info.Size() == 0 {
		return nil, fmt.Errorf("%w: %s has no %s and no %s of a keeper (%v)", ErrDirectory, dir, identityFile, raftFile, err)
	}
	bolt, err := openBoltAs(dir, !write)
	if err != nil {
		return nil, err
	}
	o := &Offline{dir: dir, bolt: bolt, id: *id}
	if err := faultless(filepath.Join(dir, raftFile), func() error { return o.load(log) }); err != nil {
		return nil, errors.Join(err, bolt.Close())
	}
	return o, nil
}

func (o *Offline) load(log hclog.Logger) error {
	var found bool
	var err error
	if o.logs, found, err = openSealed(o.bolt); err == nil && !found {
		err = errors.New("it is empty")
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w. %s", ErrDamaged, filepath.Join(o.dir, raftFile), err, rejoinHint)
	}
	if owner := o.logs.get().member; owner != o.id.MemberID {
		return fmt.Errorf("%w: %s is of member %s, %s of member %s: the files of two keepers were mixed. %s", ErrForeign, raftFile, owner, identityFile, o.id.MemberID, rejoinHint)
	}
	if _, err := os.Stat(filepath.Join(o.dir, snapshotsDir)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is missing. %s", ErrDamaged, filepath.Join(o.dir, snapshotsDir), rejoinHint)
	}
	o.snapshots, err = openSnapshots(o.dir, log)
	return err
}

// Close gives the directory back.
func (o *Offline) Close() error { return o.bolt.Close() }

// scan is the look at everything that a start has.
func (o *Offline) scan() (r scanResult, err error) {
	err = faultless(filepath.Join(o.dir, raftFile), func() error {
		r, err = scan(o.logs, o.snapshots, o.id.ClusterID)
		return err
	})
	return r, err
}

// replayed is the state that snapshot and log make, as far as that goes.
type replayed struct {
	state  *fsm.State
	haltAt uint64 // index of the entry that cannot be applied; 0: all can
	halt   error
}

// replay applies the whole log to the newest snapshot, committed or not: what is
// committed does not stand on disk.
func (o *Offline) replay() (replayed, error) {
	machine := fsm.New()
	var at uint64
	meta, _, err := o.snapshots.newest()
	if err != nil {
		return replayed{}, err
	}
	if meta != nil {
		_, in, err := o.snapshots.Open(meta.ID)
		if err != nil {
			return replayed{}, fmt.Errorf("read snapshot %s: %w", meta.ID, err)
		}
		err = errors.Join(machine.Restore(in), in.Close())
		if err != nil {
			return replayed{}, fmt.Errorf("read snapshot %s: %w", meta.ID, err)
		}
		at = meta.Index
	}
	l := o.logs.get()
	for i := max(at+1, l.first); i <= l.last; i++ {
		var e raft.Log
		if err := o.logs.GetLog(i, &e); err != nil {
			return replayed{}, fmt.Errorf("%w: entry %d: %w. %s", ErrDamaged, i, err, rejoinHint)
		}
		if e.Type != raft.LogCommand {
			continue
		}
		if _, err := machine.Apply(e.Index, e.Term, e.Data); err != nil {
			return replayed{state: machine.State(), haltAt: i, halt: err}, nil
		}
	}
	return replayed{state: machine.State()}, nil
}

// configuration is the latest one, committed or not, and the index it is of.
func (o *Offline) configuration() (raft.Configuration, uint64, error) {
	var config raft.Configuration
	var index uint64
	meta, _, err := o.snapshots.newest()
	if err != nil {
		return config, 0, err
	}
	if meta != nil {
		config, index = meta.Configuration, meta.ConfigurationIndex
	}
	l := o.logs.get()
	for i := l.first; i <= l.last; i++ {
		var e raft.Log
		if err := o.logs.GetLog(i, &e); err != nil {
			return config, 0, fmt.Errorf("%w: entry %d: %w. %s", ErrDamaged, i, err, rejoinHint)
		}
		if e.Type != raft.LogConfiguration || e.Index <= index {
			continue
		}
		if config, err = decodeConfiguration(e.Data); err != nil {
			return config, 0, fmt.Errorf("%w: entry %d: %w. %s", ErrDamaged, i, err, rejoinHint)
		}
		index = e.Index
	}
	return config, index, nil
}

// Inspection is what a data directory holds. Problems are for people; with none
// the keeper can start.
type Inspection struct {
	Dir         string `json:"dir"`
	MemberID    string `json:"memberId"`
	Name        string `json:"name"`
	ClusterID   string `json:"clusterId"`
	Incarnation string `json:"incarnation"`

	Term     uint64 `json:"term"`
	VoteTerm uint64 `json:"voteTerm"` // of the last vote
	Vote     string `json:"vote"`     // for whom it was

	First    uint64 `json:"first"` // entries of the log; 0 without any
	Last     uint64 `json:"last"`
	Entries  int    `json:"entries"`
	Bytes    int64  `json:"bytes"`
	LastTerm uint64 `json:"lastTerm"`

	Snapshots          []InspectedSnapshot `json:"snapshots"` // the newest first
	Configuration      []InspectedServer   `json:"configuration"`
	ConfigurationIndex uint64              `json:"configurationIndex"`

	// The state after the whole log, committed or not, or before HaltsAt.
	StateIndex uint64 `json:"stateIndex"`
	StateHash  string `json:"stateHash"`
	Epoch      uint64 `json:"epoch"`
	HaltsAt    uint64 `json:"haltsAt,omitempty"` // entry that cannot be applied

	Problems []string `json:"problems"`
}

// InspectedSnapshot is one snapshot that can be used.
type InspectedSnapshot struct {
	ID    string `json:"id"`
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
	Bytes int64  `json:"bytes"`
}

// InspectedServer is a member of the group as the log has it.
type InspectedServer struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Voter   bool   `json:"voter"`
}

// Inspect reads everything. What is wrong stands in Problems.
func (o *Offline) Inspect() Inspection {
	in := Inspection{
		Dir: o.dir, MemberID: o.id.MemberID, Name: o.id.Name, ClusterID: o.id.ClusterID, Incarnation: o.id.Incarnation,
		Snapshots: []InspectedSnapshot{}, Configuration: []InspectedServer{}, Problems: []string{},
	}
	problem := func(err error) {
		if err != nil {
			in.Problems = append(in.Problems, err.Error())
		}
	}
	r, err := o.scan()
	problem(err)
	l := o.logs.get()
	if l.first <= l.last {
		in.First, in.Last = l.first, l.last
	}
	in.Term, in.VoteTerm, in.Vote, in.Entries, in.Bytes, in.LastTerm = r.Term, r.VoteTerm, r.Vote, r.Entries, r.Bytes, r.LastTerm
	list, err := o.snapshots.List()
	problem(err)
	for _, m := range list {
		in.Snapshots = append(in.Snapshots, InspectedSnapshot{m.ID, m.Index, m.Term, m.Size})
	}
	for id, why := range o.snapshots.condemned() {
		problem(fmt.Errorf("snapshot %s is not used: %w", id, why))
	}
	config, index, err := o.configuration()
	problem(err)
	in.ConfigurationIndex = index
	for _, s := range config.Servers {
		in.Configuration = append(in.Configuration, InspectedServer{string(s.ID), string(s.Address), s.Suffrage == raft.Voter})
	}
	played, err := o.replay()
	problem(err)
	if played.state != nil {
		sum := played.state.Hash()
		in.StateIndex, in.StateHash, in.Epoch = played.state.Index(), hex.EncodeToString(sum[:]), played.state.Epoch()
	}
	if in.HaltsAt = played.haltAt; played.halt != nil {
		problem(fmt.Errorf("the state machine halts at entry %d: %w", played.haltAt, played.halt))
	}
	return in
}
