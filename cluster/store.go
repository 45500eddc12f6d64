package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

const (
	raftFile        = "raft.db"
	snapshotsDir    = "snapshots" // named by raft's FileSnapshotStore
	retainSnapshots = 3
	lockTimeout     = time.Second // for another process to close the directory
	lockPause       = 20 * time.Millisecond
	logCacheSize    = 512 // entries kept in memory for followers
	slowScan        = 5 * time.Second
)

// stores is what a node keeps its Raft state in.
type stores struct {
	log       logStore
	snapshots raft.SnapshotStore
	identity  *holder
	path      string // of raft.db; empty in memory
	space     *space // of the volume; nil in memory
	close     func() error
}

// openStores opens the data directory, or makes one in memory, and counts this
// start in its identity. It refuses directories that are not safe to start.
func openStores(cfg Config, log hclog.Logger) (*stores, error) {
	if cfg.Dev {
		id, err := newIdentity(cfg.Name).started()
		if err != nil {
			return nil, err
		}
		return &stores{
			log:       raft.NewInmemStore(),
			snapshots: raft.NewInmemSnapshotStore(),
			identity:  &holder{id: id},
			close:     func() error { return nil },
		}, nil
	}
	if cfg.Storage != nil {
		return openStorage(cfg)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	if err := errors.Join(checkCondemned(cfg.DataDir), checkBeforeOpen(cfg.DataDir)); err != nil {
		return nil, err
	}
	room := newSpace(cfg)
	room.begin() // first of all: what follows must write
	bolt, err := openBolt(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	var s *stores
	err = faultless(filepath.Join(cfg.DataDir, raftFile), func() error {
		s, err = finishOpen(cfg, bolt, log)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, bolt.Close())
	}
	s.space = room
	return s, nil
}

// checkBeforeOpen refuses a directory whose log file vanished, before bbolt
// makes an empty one.
func checkBeforeOpen(dir string) error {
	id, err := readIdentity(dir)
	if err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(dir, raftFile))
	switch {
	case err == nil && info.Size() > 0:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open data directory: %w", err)
	}
	if id != nil {
		return fmt.Errorf("%w: %s of member %s (%s) is missing or empty. %s", ErrWiped, filepath.Join(dir, raftFile), id.MemberID, id.Name, rejoinHint)
	}
	if hasSnapshots(dir) {
		return fmt.Errorf("%w: %s is missing beside snapshots. %s", ErrWiped, filepath.Join(dir, raftFile), rejoinHint)
	}
	return nil
}

const rejoinHint = "It must not vote again: restore the whole directory as it was last, or remove the member from the group, delete the whole directory and start again as a new member"

func hasSnapshots(dir string) bool {
	entries, err := os.ReadDir(filepath.Join(dir, snapshotsDir))
	return err == nil && len(entries) > 0
}

// openBolt opens raft.db, whose lock is the directory's.
func openBolt(dir string) (*raftboltdb.BoltStore, error) { return openBoltAs(dir, false) }

func openBoltAs(dir string, readOnly bool) (store *raftboltdb.BoltStore, err error) {
	path := filepath.Join(dir, raftFile)
	if err := checkFile(dir, readOnly); err != nil {
		return nil, err
	}
	err = faultless(path, func() error {
		store, err = raftboltdb.New(raftboltdb.Options{
			Path:        path,
			NoSync:      noSync,
			BoltOptions: &bbolt.Options{Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, ReadOnly: readOnly},
		})
		return err
	})
	switch {
	case err == nil && readOnly:
		return store, nil
	case err == nil:
		return store, syncDir(dir)
	case errors.Is(err, ErrDamaged):
		return nil, err
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, inUse(dir)
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum), errors.Is(err, bbolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %s: %w. %s", ErrDamaged, path, err, rejoinHint)
	}
	return nil, fmt.Errorf("open %s: %w", path, err)
}

func inUse(dir string) error {
	return fmt.Errorf("%w: %s. Stop the other keeper or give this one a directory of its own", ErrInUse, dir)
}

// checkFile looks at the structure of raft.db while no other process has it.
func checkFile(dir string, readOnly bool) error {
	path := filepath.Join(dir, raftFile)
	mode, lock := os.O_RDWR, unix.LOCK_EX
	if readOnly {
		mode, lock = os.O_RDONLY, unix.LOCK_SH
	}
	f, err := os.OpenFile(path, mode, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close() // and with it the lock, which bbolt takes next
	for deadline := time.Now().Add(lockTimeout); ; {
		err := unix.Flock(int(f.Fd()), lock|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %s: %w", path, err)
		}
		if time.Now().After(deadline) {
			return inUse(dir)
		}
		time.Sleep(lockPause)
	}
	if err := checkPages(path); err != nil {
		return fmt.Errorf("%w: %s: %w. %s", ErrDamaged, path, err, rejoinHint)
	}
	return nil
}

// syncDir makes a new file in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// finishOpen checks the directory, now locked, against its identity and writes
// the identity of this start.
func finishOpen(cfg Config, bolt *raftboltdb.BoltStore, log hclog.Logger) (*stores, error) {
	dir := cfg.DataDir
	if err := removeUnfinished(dir); err != nil {
		return nil, err
	}
	snapshots, err := openSnapshots(dir, log)
	if err != nil {
		return nil, err
	}
	known, err := readIdentity(dir)
	if err != nil {
		return nil, err
	}
	logs, id, err := ownLog(cfg.Name, dir, bolt, snapshots, known)
	if err != nil {
		return nil, err
	}
	if err := logs.clean(); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	found, err := scan(logs, snapshots, id.ClusterID)
	if err != nil {
		return nil, err
	}
	if found.Took > slowScan {
		log.Warn("reading the whole log took long", "entries", found.Entries, "bytes", found.Bytes, "took", found.Took.Round(time.Millisecond))
	}
	if id, err = id.started(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, filepath.Join(dir, identityFile), err)
	}
	if err := writeIdentity(dir, id); err != nil {
		return nil, err
	}
	var store logStore = logs
	if cfg.wrapStore != nil {
		store = cfg.wrapStore(logs)
	}
	return &stores{
		log:       store,
		snapshots: snapshots,
		identity:  &holder{dir: dir, id: id},
		path:      filepath.Join(dir, raftFile),
		close:     bolt.Close,
	}, nil
}

// ownLog opens the log under its checksums and decides whose the directory is.
func ownLog(name, dir string, inner logStore, snapshots raft.SnapshotStore, known *identity) (*sealed, identity, error) {
	path := filepath.Join(dir, raftFile)
	logs, found, err := openSealed(inner)
	if err != nil {
		return nil, identity{}, fmt.Errorf("%w: %s: %w. %s", ErrDamaged, path, err, rejoinHint)
	}
	if !found && known != nil {
		return nil, identity{}, fmt.Errorf("%w: %s is empty, but member %s (%s) had one. %s", ErrWiped, path, known.MemberID, known.Name, rejoinHint)
	}
	used, err := raft.HasExistingState(logs, logs, snapshots)
	if err != nil {
		return nil, identity{}, fmt.Errorf("open %s: %w", dir, err)
	}
	id, err := identityFor(name, dir, known, used)
	if err != nil {
		return nil, identity{}, err
	}
	switch owner := logs.get().member; {
	case known == nil: // new, or its first start was cut short
		if err := logs.claim(id.MemberID); err != nil {
			return nil, identity{}, fmt.Errorf("open %s: %w", dir, err)
		}
	case owner != id.MemberID:
		return nil, identity{}, fmt.Errorf("%w: %s is of member %s, %s of member %s: the files of two keepers were mixed. %s", ErrForeign, path, owner, identityFile, id.MemberID, rejoinHint)
	}
	return logs, id, nil
}

// removeUnfinished deletes snapshots that a crash cut short; raft only steps
// over them.
func removeUnfinished(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, snapshotsDir, "*.tmp"))
	if err != nil {
		return fmt.Errorf("open snapshots in %s: %w", dir, err)
	}
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove unfinished snapshot: %w", err)
		}
	}
	return nil
}

// identityFor decides who the directory is: known is its identity file, nil
// without one; used says that raft has state in it.
func identityFor(name, dir string, known *identity, used bool) (identity, error) {
	switch {
	case known == nil && used:
		return identity{}, fmt.Errorf("%w: %s has Raft state but no %s, so whose it is cannot be told. %s", ErrDirectory, dir, identityFile, rejoinHint)
	case known == nil:
		return newIdentity(name), nil
	case known.Name != name:
		return identity{}, fmt.Errorf("%w: %s is the data directory of keeper %s, not of %s. Use its name, or another directory", ErrForeign, dir, known.Name, name)
	case known.ClusterID != "" && !used:
		return identity{}, fmt.Errorf("%w: %s was member %s of cluster %s, but its log is empty. %s", ErrWiped, dir, known.MemberID, known.ClusterID, rejoinHint)
	}
	return *known, nil
}
