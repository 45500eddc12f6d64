package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// logStore is what raft keeps its log, term and vote in.
type logStore interface {
	raft.LogStore
	raft.StableStore
}

// ErrStore is the base of what [Node.Fatal] reports after a store error.
var ErrStore = errors.New("the Raft store failed: this keeper must stop")

// guard stands between raft and its store, makes every error fail-stop and has
// the watchdog time every call.
//
// raft v1.7.3 logs some store errors and goes on (a follower that could not
// append retries on a page cache that may have lost the write), steps down and
// runs again on others, and panics on the rest. Here the first error is
// reported once, and from then on every goroutine of raft that needs the store
// ends where it stands: nothing is retried, and nothing that was not stored is
// ever answered.
type guard struct {
	store  logStore
	report func(error)
	writes prometheus.Observer // seconds of each durable write
	watch  *watchdog           // nil: calls are not timed
	wrote  func(bytes int)     // told what entries were stored; nil: nobody
	room   func() bool         // makes room on a full disk, false when it cannot; nil: cannot

	armed  atomic.Bool // raft is running; before that errors are returned
	failed atomic.Bool
	once   sync.Once
}

// arm begins to end raft's goroutines on errors. Before that raft.NewRaft runs
// on the opener's goroutine and returns the errors.
func (g *guard) arm() { g.armed.Store(true) }

// check reports err, unless it only says that something is not there. op names
// the operation.
func (g *guard) check(op string, err error) error {
	if err == nil || errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, raftboltdb.ErrKeyNotFound) || err.Error() == "not found" {
		return err
	}
	err = fmt.Errorf("%w: %s: %w. Look at the disk, then start it again; if the error stays, remove this member and let it rejoin with an empty directory", ErrStore, op, err)
	if !g.armed.Load() {
		return err
	}
	g.fail(err)
	runtime.Goexit()
	return err
}

// fail reports the first error and closes the store to raft.
func (g *guard) fail(err error) {
	g.failed.Store(true)
	g.once.Do(func() { g.report(err) })
}

// enter ends the goroutine when an operation failed before.
func (g *guard) enter() {
	if g.failed.Load() {
		runtime.Goexit()
	}
}

// call runs one operation of the store. A goroutine whose call comes back after
// the node was given up for it ends here.
func (g *guard) call(op string, f func() error) error {
	g.enter()
	id := g.watch.begin(op, 0)
	err := f()
	g.watch.end(id)
	g.enter()
	return err
}

// write is an operation that must be durable when it returns.
func (g *guard) write(op string, f func() error) error {
	start := time.Now()
	err := g.call(op, f)
	if noRoom(err) && g.room != nil && g.room() {
		err = g.call(op, f)
	}
	g.writes.Observe(time.Since(start).Seconds())
	return g.check(op, err)
}

// noRoom: the file system refused to take a write. Nothing of the transaction is
// in the store then, so that it may be run again; an error of fsync says nothing
// of the kind.
func noRoom(err error) bool {
	refused, ok := errors.AsType[*fs.PathError](err)
	return ok && refused.Op == "write" && errors.Is(refused.Err, unix.ENOSPC)
}

func (g *guard) FirstIndex() (i uint64, err error) {
	err = g.call("read the first index", func() error { i, err = g.store.FirstIndex(); return err })
	return i, g.check("read the first index", err)
}

func (g *guard) LastIndex() (i uint64, err error) {
	err = g.call("read the last index", func() error { i, err = g.store.LastIndex(); return err })
	return i, g.check("read the last index", err)
}

func (g *guard) GetLog(index uint64, log *raft.Log) error {
	err := g.call("read an entry", func() error { return g.store.GetLog(index, log) })
	if err == nil && log.Index != index {
		err = fmt.Errorf("it says it is %d", log.Index)
	}
	if err == nil {
		return nil
	}
	return g.check(fmt.Sprintf("read entry %d", index), err)
}

func (g *guard) StoreLog(log *raft.Log) error {
	return g.write("store an entry", func() error { return g.store.StoreLog(log) })
}

func (g *guard) StoreLogs(logs []*raft.Log) error {
	err := g.write("store entries", func() error { return g.store.StoreLogs(logs) })
	if err == nil && g.wrote != nil {
		size := 0
		for _, l := range logs {
			size += len(l.Data)
		}
		g.wrote(size)
	}
	return err
}

func (g *guard) DeleteRange(first, last uint64) error {
	return g.write("delete entries", func() error { return g.store.DeleteRange(first, last) })
}

func (g *guard) Set(key, val []byte) error {
	return g.write("store "+string(key), func() error { return g.store.Set(key, val) })
}

func (g *guard) SetUint64(key []byte, val uint64) error {
	return g.write("store "+string(key), func() error { return g.store.SetUint64(key, val) })
}

func (g *guard) Get(key []byte) (v []byte, err error) {
	err = g.call("read a value", func() error { v, err = g.store.Get(key); return err })
	return v, g.check("read "+string(key), err)
}

func (g *guard) GetUint64(key []byte) (v uint64, err error) {
	err = g.call("read a value", func() error { v, err = g.store.GetUint64(key); return err })
	return v, g.check("read "+string(key), err)
}
