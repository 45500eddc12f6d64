package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/zerokeeper/zero/fsm"
)

// Files of a keeper's data directory (package cluster, store.go and identity.go).
const (
	raftFile     = "raft.db"
	snapshotsDir = "snapshots"
	identityFile = "identity.json"
)

// Bounds of what is read from a data directory.
const (
	maxEntries  = 1 << 20 // of a log
	maxLogBytes = 1 << 30 // of their data
	openTimeout = time.Second
)

// Errors about data directories.
var (
	// ErrDirectory is the base of errors about a data directory that cannot be read.
	ErrDirectory = errors.New("data directory cannot be read")
	// ErrRunning: the keeper still has it open.
	ErrRunning = fmt.Errorf("%w: a process has it open; stop the keeper first", ErrDirectory)
)

// Entry is one entry of a Raft log.
type Entry struct {
	Index, Term uint64
	Type        raft.LogType
	Data        []byte
	Extensions  []byte
	Header      fsm.Header  // of a command
	Command     fsm.Command // nil when the entry is no command, or one to be ignored
}

// same reports whether two entries of one index are the same.
func (e Entry) same(o Entry) bool {
	return e.Term == o.Term && e.Type == o.Type && string(e.Data) == string(o.Data) && string(e.Extensions) == string(o.Extensions)
}

// String is what the entry is, without its data.
func (e Entry) String() string {
	s := fmt.Sprintf("entry %d of term %d, %v", e.Index, e.Term, e.Type)
	if e.Command != nil {
		s += fmt.Sprintf(" %T", e.Command)
	}
	if e.Header.Session != "" {
		s += fmt.Sprintf(" (session %s seq %d)", e.Header.Session, e.Header.Seq)
	}
	return s
}

// RaftLog is what a stopped keeper, or after [Merge] the group, remembers.
type RaftLog struct {
	Name   string // of the data directory; of the logs merged
	Member string // the Raft id; empty when the directory does not say
	// Entries are contiguous and ascending. What lies below a gap, and what the snapshots say is not what was
	// committed, is left out.
	Entries []Entry
	// Snapshots are the whole ones, ascending by index.
	Snapshots []Snapshot
	// Damaged names the snapshots that cannot be read, with the reason.
	Damaged []string
	// Term is the newest that the keeper has seen.
	Term uint64
	// Servers is the newest configuration in the log, or else of the newest snapshot. A configuration counts from the
	// moment it is in the log.
	Servers []raft.Server
	// Tail, of a merged log, are the undecided entries: of the electable log that reaches furthest.
	Tail []Entry
}

// First is the index of the first entry; 0 without entries.
func (l *RaftLog) First() uint64 {
	if len(l.Entries) == 0 {
		return 0
	}
	return l.Entries[0].Index
}

// Last is the index and term of the last entry or, if that is newer, of the newest snapshot.
func (l *RaftLog) Last() (index, term uint64) {
	if n := len(l.Snapshots); n > 0 {
		index, term = l.Snapshots[n-1].Index, l.Snapshots[n-1].Term
	}
	if n := len(l.Entries); n > 0 && l.Entries[n-1].Index >= index {
		index, term = l.Entries[n-1].Index, l.Entries[n-1].Term
	}
	return index, term
}

// Entry is the entry of that index, nil when it is not there.
func (l *RaftLog) Entry(index uint64) *Entry {
	first := l.First()
	if first == 0 || index < first || index-first >= uint64(len(l.Entries)) {
		return nil
	}
	return &l.Entries[index-first]
}

// ReadRaftLog reads the log and the snapshots of a keeper that is stopped. Nothing in the directory is changed. An entry
// that the state machine could not decode is an error that wraps [fsm.ErrCorrupt] or [fsm.ErrUnknownCommand].
func ReadRaftLog(dataDir string) (*RaftLog, error) {
	l := &RaftLog{Name: filepath.Base(dataDir)}
	var err error
	if l.Member, err = readMember(dataDir); err != nil {
		return nil, err
	}
	if l.Snapshots, l.Damaged, err = readSnapshots(filepath.Join(dataDir, snapshotsDir)); err != nil {
		return nil, err
	}
	if err = l.readEntries(filepath.Join(dataDir, raftFile)); err != nil {
		return nil, err
	}
	if err = l.settle(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDirectory, dataDir, err)
	}
	return l, nil
}

// readMember reads the Raft id from the identity file, if there is one.
func readMember(dataDir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dataDir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrDirectory, err)
	}
	return decodeMember(data)
}

func decodeMember(identity []byte) (string, error) {
	var id struct {
		MemberID string `json:"memberId"`
	}
	if err := json.Unmarshal(identity, &id); err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrDirectory, identityFile, err)
	}
	return id.MemberID, nil
}

// readEntries reads raft.db.
func (l *RaftLog) readEntries(path string) (err error) {
	defer func() {
		if p := recover(); p != nil { // how bbolt and raft say that what they read is damaged
			err = fmt.Errorf("%w: %s: %v", ErrDirectory, path, p)
		}
	}()
	// An empty file would be made a database, which a read-only one cannot be.
	if info, serr := os.Stat(path); serr != nil {
		return fmt.Errorf("%w: %w", ErrDirectory, serr)
	} else if info.Size() == 0 {
		return fmt.Errorf("%w: %s is empty", ErrDirectory, path)
	}
	store, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{ReadOnly: true, Timeout: openTimeout}})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return fmt.Errorf("%w: %s", ErrRunning, path)
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ErrDirectory, path, err)
	}
	defer func() {
		if cerr := store.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("%w: %s: %w", ErrDirectory, path, cerr)
		}
	}()
	log, err := openLedger(store)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDirectory, path, err)
	}
	return l.load(log, path)
}

// logReader is what is asked of a store of Raft's log.
type logReader interface {
	FirstIndex() (uint64, error)
	LastIndex() (uint64, error)
	GetLog(index uint64, log *raft.Log) error
	GetUint64(key []byte) (uint64, error)
}

// load reads the term, and the entries from the last one down to the first gap. What lies below a gap was left behind
// when the leader sent a snapshot, and need never have been committed.
func (l *RaftLog) load(store logReader, path string) error {
	var err error
	if l.Term, err = store.GetUint64([]byte("CurrentTerm")); err != nil && err.Error() != errNotFound.Error() {
		return fmt.Errorf("%w: %s: current term: %w", ErrDirectory, path, err)
	}
	first, err := store.FirstIndex()
	if err != nil {
		return fmt.Errorf("%w: %s: first index: %w", ErrDirectory, path, err)
	}
	last, err := store.LastIndex()
	if err != nil {
		return fmt.Errorf("%w: %s: last index: %w", ErrDirectory, path, err)
	}
	size := 0
	for index := last; index >= first && index > 0; index-- {
		e := new(raft.Log)
		err := store.GetLog(index, e)
		if errors.Is(err, raft.ErrLogNotFound) {
			break
		}
		var entry Entry
		if err == nil {
			entry, err = decodeEntry(e, index)
		}
		if err != nil {
			return fmt.Errorf("%w: %s: entry %d: %w", ErrDirectory, path, index, err)
		}
		if size += len(e.Data); size > maxLogBytes || len(l.Entries) >= maxEntries {
			return fmt.Errorf("%w: %s: more than %d entries or %d bytes", ErrDirectory, path, maxEntries, maxLogBytes)
		}
		l.Entries = append(l.Entries, entry)
	}
	slices.Reverse(l.Entries)
	return nil
}

func decodeEntry(e *raft.Log, index uint64) (Entry, error) {
	if e.Index != index {
		return Entry{}, fmt.Errorf("it says it is %d", e.Index)
	}
	entry := Entry{Index: e.Index, Term: e.Term, Type: e.Type, Data: e.Data, Extensions: e.Extensions}
	if e.Type != raft.LogCommand {
		return entry, nil
	}
	var err error
	entry.Header, entry.Command, err = fsm.Decode(e.Data)
	return entry, err
}

// settle drops the entries that the newest snapshot contradicts or that lie apart below it, and finds the configuration.
// A follower that was sent a snapshot keeps what it had before in the store; raft does not look at it again.
func (l *RaftLog) settle() error {
	if n := len(l.Snapshots); n > 0 {
		s := l.Snapshots[n-1]
		l.Servers = s.Servers
		at := l.Entry(s.Index)
		switch {
		case len(l.Entries) == 0:
		case l.First() > s.Index+1:
			return fmt.Errorf("the log begins at %d, the newest snapshot ends at %d: entries are missing", l.First(), s.Index)
		case at == nil && l.First() == s.Index+1: // joined
		case at == nil || at.Term != s.Term: // all before the snapshot's end, or of a branch that lost
			l.Entries = nil
		}
	} else if l.First() > 1 {
		return fmt.Errorf("the log begins at %d and there is no whole snapshot", l.First())
	}
	for _, e := range l.Entries {
		if e.Type == raft.LogConfiguration {
			servers, err := decodeServers(e.Data)
			if err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
			l.Servers = servers
		}
	}
	return nil
}

func decodeServers(data []byte) (servers []raft.Server, err error) {
	defer func() {
		if p := recover(); p != nil { // raft's way to say that it cannot be decoded
			err = fmt.Errorf("configuration: %v", p)
		}
	}()
	return raft.DecodeConfiguration(data).Servers, nil
}
