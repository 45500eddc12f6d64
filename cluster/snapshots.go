package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
)

const (
	snapshotState = "state.bin" // named by raft's FileSnapshotStore
	trailerMagic  = "ZSNAPEND"
	trailerSize   = len(trailerMagic) + sha256.Size
)

// snapshotFiles are raft's snapshot files with a trailer that binds the state to
// its meta data: raft's own checksum is over the state alone, so that a flipped
// bit in meta.json would put it at another index. Snapshots whose trailer does not
// fit are not listed.
type snapshotFiles struct {
	*raft.FileSnapshotStore
	dir string // of the snapshots
	log hclog.Logger

	mu  sync.Mutex
	bad map[string]error // by id
}

func openSnapshots(dataDir string, log hclog.Logger) (*snapshotFiles, error) {
	files, err := raft.NewFileSnapshotStoreWithLogger(dataDir, retainSnapshots, log)
	if err != nil {
		return nil, fmt.Errorf("open snapshots in %s: %w", dataDir, err)
	}
	return &snapshotFiles{FileSnapshotStore: files, dir: filepath.Join(dataDir, snapshotsDir), log: log, bad: make(map[string]error)}, nil
}

// Create begins a snapshot. Its Close writes the trailer.
func (s *snapshotFiles) Create(version raft.SnapshotVersion, index, term uint64, config raft.Configuration, configIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(version, index, term, config, configIndex, trans)
	if err != nil {
		return nil, err
	}
	meta := &raft.SnapshotMeta{Version: version, Index: index, Term: term, Configuration: config, ConfigurationIndex: configIndex}
	return &trailedSink{SnapshotSink: sink, trailer: trailerOf(meta)}, nil
}

// List has the good snapshots, the newest first, with the size of their state.
func (s *snapshotFiles) List() ([]*raft.SnapshotMeta, error) {
	all, err := s.FileSnapshotStore.List()
	if err != nil {
		return nil, err
	}
	good := make([]*raft.SnapshotMeta, 0, len(all))
	for _, m := range all {
		if err := s.trailed(m); err != nil {
			s.condemn(m.ID, err)
			continue
		}
		if s.verdict(m.ID) == nil {
			m.Size -= int64(trailerSize)
			good = append(good, m)
		}
	}
	return good, nil
}

// Open reads a snapshot whose checksum is right.
func (s *snapshotFiles) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, state, err := s.FileSnapshotStore.Open(id)
	if err != nil {
		return nil, nil, err
	}
	if err := s.trailed(meta); err != nil {
		return nil, nil, errors.Join(err, state.Close())
	}
	meta.Size -= int64(trailerSize)
	return meta, limitedFile{io.LimitReader(state, meta.Size), state}, nil
}

// trailed checks the trailer of a snapshot against its meta data.
func (s *snapshotFiles) trailed(m *raft.SnapshotMeta) error {
	f, err := os.Open(filepath.Join(s.dir, m.ID, snapshotState))
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", m.ID, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", m.ID, err)
	}
	if info.Size() != m.Size || m.Size < int64(trailerSize) {
		return fmt.Errorf("snapshot %s: %d bytes, want %d", m.ID, info.Size(), m.Size)
	}
	found := make([]byte, trailerSize)
	if _, err := f.ReadAt(found, m.Size-int64(trailerSize)); err != nil {
		return fmt.Errorf("snapshot %s: %w", m.ID, err)
	}
	if want := trailerOf(m); string(found) != string(want) {
		return fmt.Errorf("snapshot %s: its meta data and its state do not belong together", m.ID)
	}
	return nil
}

// condemn keeps a snapshot from being used, and says so once.
func (s *snapshotFiles) condemn(id string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad[id] == nil {
		s.bad[id] = why
		s.log.Error("a snapshot is damaged and is not used", "dir", filepath.Join(s.dir, id), "error", why)
	}
}

func (s *snapshotFiles) verdict(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad[id]
}

// condemned are the snapshots that are not used, and why.
func (s *snapshotFiles) condemned() map[string]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.bad)
}

// newest reads the newest snapshot that is whole and condemns the ones that are
// not. A nil meta means that there is none.
func (s *snapshotFiles) newest() (*raft.SnapshotMeta, *fsm.State, error) {
	list, err := s.List()
	if err != nil {
		return nil, nil, fmt.Errorf("list snapshots: %w", err)
	}
	for _, m := range list {
		state, err := s.read(m)
		if err == nil {
			return m, state, nil
		}
		s.condemn(m.ID, err)
	}
	return nil, nil, nil
}

// read decodes a snapshot.
func (s *snapshotFiles) read(m *raft.SnapshotMeta) (*fsm.State, error) {
	_, in, err := s.Open(m.ID)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	state, err := fsm.ReadSnapshot(in)
	if err != nil {
		return nil, err
	}
	if state.Index() > m.Index || state.Term() > m.Term {
		return nil, fmt.Errorf("a state of entry %d, term %d in a snapshot of entry %d, term %d", state.Index(), state.Term(), m.Index, m.Term)
	}
	return state, nil
}

// trailerOf is the trailer for a snapshot with this meta data.
func trailerOf(m *raft.SnapshotMeta) []byte {
	h := sha256.New()
	var head []byte
	for _, n := range []uint64{uint64(m.Version), m.Index, m.Term, m.ConfigurationIndex} {
		head = binary.BigEndian.AppendUint64(head, n)
	}
	h.Write(head)
	h.Write(raft.EncodeConfiguration(m.Configuration))
	return h.Sum([]byte(trailerMagic))
}

// trailedSink ends a snapshot with its trailer.
type trailedSink struct {
	raft.SnapshotSink
	trailer []byte
	closed  bool
}

func (s *trailedSink) Close() error {
	if !s.closed {
		s.closed = true
		if _, err := s.SnapshotSink.Write(s.trailer); err != nil {
			return gaveUp(fmt.Errorf("write the trailer: %w", err), s.SnapshotSink)
		}
	}
	return s.SnapshotSink.Close()
}

type limitedFile struct {
	io.Reader
	io.Closer
}

// watchedSnapshots times the calls of a snapshot store. They may take longer than
// those of the log: each can sync a whole state.
type watchedSnapshots struct {
	raft.SnapshotStore
	watch *watchdog
}

func (s watchedSnapshots) begin(op string) uint64 {
	return s.watch.begin(op, snapshotFactor*s.watch.limit)
}

func (s watchedSnapshots) Create(version raft.SnapshotVersion, index, term uint64, config raft.Configuration, configIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	defer s.watch.end(s.begin("create a snapshot"))
	sink, err := s.SnapshotStore.Create(version, index, term, config, configIndex, trans)
	if err != nil {
		return nil, err
	}
	return &watchedSink{sink, s}, nil
}

type watchedSink struct {
	raft.SnapshotSink
	owner watchedSnapshots
}

func (s *watchedSink) Write(p []byte) (int, error) {
	defer s.owner.watch.end(s.owner.begin("write a snapshot"))
	return s.SnapshotSink.Write(p)
}

func (s *watchedSink) Close() error {
	defer s.owner.watch.end(s.owner.begin("finish a snapshot"))
	return s.SnapshotSink.Close()
}
