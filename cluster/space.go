package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/transport/api"
)

const (
	reserveFile  = "reserve"
	smallestMark = 1 << 20 // bytes that must be free at least, whatever the reserve
	volumeShare  = 8       // the reserve is at most this part of the volume
	spaceEvery   = time.Second
	looksPerMark = 16               // looks while as much is written as the low-water mark
	yieldEvery   = 10 * time.Second // between tries to give leadership to a keeper with room
	freeingEvery = time.Minute      // between snapshots that are taken to free space
)

// volume is what a file system says of itself, in bytes.
type volume struct{ total, free uint64 }

// space watches the volume of the data directory. Below the low-water mark the
// clients' writes are refused; below a quarter of it the reserve is deleted, so
// that what goes on (membership, expiry, snapshots, and with them the truncation
// of the log, whose pages are used again) has room. A nil space is a volume
// without end: nothing is kept on a disk.
type space struct {
	dir  string
	stat func(dir string) (volume, error)
	log  hclog.Logger
	want uint64 // bytes of the reserve, as configured

	unlooked atomic.Uint64 // bytes written since the last look
	kick     chan struct{}
	freeNow  atomic.Uint64
	lowMark  atomic.Uint64
	low      atomic.Bool

	mu       sync.Mutex // of what follows, and of the reserve
	reserved uint64     // bytes; 0: there is none
	failed   string     // the last complaint
}

func newSpace(cfg Config) *space {
	stat := cfg.statDisk
	if stat == nil {
		stat = statVolume
	}
	return &space{dir: cfg.DataDir, stat: stat, log: cfg.Logger, want: uint64(cfg.DiskReserve), kick: make(chan struct{}, 1)}
}

func statVolume(dir string) (volume, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return volume{}, fmt.Errorf("look at the volume of %s: %w", dir, err)
	}
	return volume{total: s.Blocks * uint64(s.Bsize), free: s.Bavail * uint64(s.Bsize)}, nil
}

// begin is the first look: on a full volume it deletes the reserve of the start
// before, so that this one can write.
func (s *space) begin() {
	if info, err := os.Stat(s.path()); err == nil {
		s.mu.Lock()
		s.reserved = uint64(info.Size())
		s.mu.Unlock()
	}
	if v, err := s.stat(s.dir); err == nil && uint64(s.want) > v.total/volumeShare {
		s.log.Warn("the volume is small: the disk reserve is less than configured", "configured", s.want, "reserve", v.total/volumeShare, "volume", v.total)
	}
	s.look()
}

func (s *space) path() string { return filepath.Join(s.dir, reserveFile) }

// look brings the marks and the reserve up to date. changed: low is another than
// before.
func (s *space) look() (changed bool) {
	s.unlooked.Store(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.stat(s.dir)
	if err != nil {
		s.complain("the volume cannot be looked at", err)
		return false
	}
	reserve := min(s.want, v.total/volumeShare)
	mark := max(reserve, min(smallestMark, v.total/volumeShare))
	s.lowMark.Store(mark)
	switch {
	case s.reserved > 0 && (v.free < mark/4 || reserve == 0):
		s.release(&v)
	case s.reserved != reserve && v.free+s.reserved >= 2*reserve+mark/4:
		s.make(reserve, &v)
	}
	s.freeNow.Store(v.free)
	was := s.low.Load()
	given := reserve > 0 && s.reserved == 0 && v.free < 2*reserve+mark/4 // and not enough to make it again
	now := v.free < mark || given || (was && v.free < mark+mark/4)
	s.low.Store(now)
	switch {
	case now && !was:
		s.log.Error("the disk is nearly full: clients' writes are refused until there is room", "dir", s.dir, "free", v.free, "want", mark)
	case was && !now:
		s.log.Info("the disk has room again: clients' writes are taken", "dir", s.dir, "free", v.free)
	}
	return now != was
}

// release deletes the reserve.
func (s *space) release(v *volume) {
	if err := os.Remove(s.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.complain("the disk reserve cannot be deleted", err)
		return
	}
	if v.free < s.lowMark.Load() {
		s.log.Warn("the disk is full: its reserve is given up so that space can be freed", "dir", s.dir, "bytes", s.reserved, "free", v.free)
	}
	v.free += s.reserved
	s.reserved = 0
}

// make brings the reserve to size. v is looked at again: on some file systems the
// file takes other than its size.
func (s *space) make(size uint64, v *volume) {
	if err := makeReserve(s.path(), int64(size)); err != nil {
		s.reserved = 0
		s.complain("the disk reserve cannot be made", errors.Join(err, ignoreMissing(os.Remove(s.path()))))
		return
	}
	s.reserved, s.failed = size, ""
	if now, err := s.stat(s.dir); err == nil {
		*v = now
	}
}

// emergency gives up the reserve for a write that found no room; false when
// there is none.
func (s *space) emergency() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reserved == 0 {
		return false
	}
	var v volume
	s.release(&v)
	s.freeNow.Store(v.free)
	if !s.low.Swap(true) {
		s.log.Error("the disk is full: clients' writes are refused until there is room", "dir", s.dir)
	}
	return s.reserved == 0
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// makeReserve makes a file whose blocks are taken.
func makeReserve(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("make disk reserve: %w", err)
	}
	err = f.Truncate(size)
	if err == nil {
		if err = unix.Fallocate(int(f.Fd()), 0, 0, size); errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
			err = fillZeros(f, size)
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("make disk reserve: %w", err)
	}
	return nil
}

// fillZeros is for file systems without fallocate.
func fillZeros(f *os.File, size int64) error {
	block := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(block)) {
		if _, err := f.WriteAt(block[:min(int64(len(block)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// complain logs an error that is not the last one again.
func (s *space) complain(msg string, err error) {
	if text := msg + err.Error(); text != s.failed {
		s.failed = text
		s.log.Warn(msg, "dir", s.dir, "error", err)
	}
}

// wrote asks for a look when much was written since the last one.
func (s *space) wrote(bytes int) {
	if s == nil || s.unlooked.Add(uint64(bytes)) < s.lowMark.Load()/looksPerMark {
		return
	}
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

func (s *space) free() uint64 {
	if s == nil {
		return 0
	}
	return s.freeNow.Load()
}

func (s *space) isLow() bool { return s != nil && s.low.Load() }

// critical: the reserve was given up, or there is none and little room.
func (s *space) critical() bool {
	if !s.isLow() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return (s.want > 0 && s.reserved == 0) || s.freeNow.Load() < s.lowMark.Load()/4
}

// alarm is nil while there is room, else why clients' writes are refused.
func (s *space) alarm() error {
	if !s.isLow() {
		return nil
	}
	return api.Errorf(api.DiskLow, "the disk of this keeper is nearly full (%d MiB free, %d wanted): it takes no writes. Free space on the volume of %s, or make it larger",
		s.freeNow.Load()>>20, s.lowMark.Load()>>20, s.dir)
}

// spaceLoop looks at the volume, and on a leader without room for one that has.
func (n *Node) spaceLoop(ctx context.Context) {
	s := n.stores.space
	if s == nil {
		return
	}
	ticker := time.NewTicker(spaceEvery)
	defer ticker.Stop()
	var yielded, freed time.Time
	alone := false // no other has room, and it was said
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.kick:
		}
		if s.look() {
			alone = false
		}
		if s.critical() && time.Since(freed) >= freeingEvery {
			freed = time.Now()
			n.freeSpace(ctx)
		}
		if s.isLow() && n.IsLeader() && time.Since(yielded) >= yieldEvery {
			yielded = time.Now()
			if to := n.withRoom(ctx); to != "" {
				n.yield(ctx, to)
			} else if !alone {
				alone = true
				n.log.Warn("the disk is nearly full, and there is no other keeper that has room and could lead")
			}
		}
	}
}

// freeSpace takes a snapshot now, after which raft truncates the log.
func (n *Node) freeSpace(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ApplyTimeout)
	defer cancel()
	err := n.await(ctx, n.raft.Snapshot())
	switch {
	case err == nil:
		n.log.Info("took a snapshot to free space")
	case !errors.Is(err, raft.ErrNothingNewToSnapshot) && ctx.Err() == nil:
		n.log.Warn("no snapshot could be taken to free space", "error", err)
	}
}

// withRoom is the most advanced of the other voters that have room, empty when
// none has.
func (n *Node) withRoom(ctx context.Context) (best raft.ServerID) {
	var index uint64
	for _, server := range n.configuration().Servers {
		if server.Suffrage != raft.Voter || string(server.ID) == n.ID() {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		status, err := n.statusOf(asking, server.ID)
		cancel()
		if err == nil && status.MemberID == string(server.ID) && !status.DiskLow && status.Ready && status.Index >= index {
			best, index = server.ID, status.Index
		}
	}
	return best
}

// yield gives leadership to a keeper with room. raft cannot keep one without room
// from being elected; then it yields again.
func (n *Node) yield(ctx context.Context, to raft.ServerID) {
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	if err := n.transferTo(ctx, to); err != nil && n.IsLeader() {
		n.log.Warn("leadership could not be given to a keeper with room", "to", to, "error", err)
		return
	}
	n.log.Info("gave leadership to a keeper with room on its disk", "to", to)
}
