package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/jepsen/dbclient"
)

const (
	dataWriters   = 8
	dataPause     = 12 * time.Millisecond // of a client between two writes, on average
	writeTimeout  = 6 * time.Second       // of one write: longer than any failover
	loginTimeout  = 2 * time.Second
	dataTable     = dataDatabase + ".writes"
	trackCommits  = "SET SESSION session_track_system_variables='last_gtid'"
	reconnectWait = 50 * time.Millisecond
)

// Writers are clients that write through the proxies until they are stopped. Each holds one connection; even ones write
// single statements, odd ones transactions of two rows. Nothing is sent twice.
type Writers struct {
	data    *Data
	history *check.DBHistory
	last    atomic.Int64 // id of a write
	acked   atomic.Int64
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex
	newest map[string]time.Duration // by proxy: when the newest of its acknowledged writes was begun
	err    error                    // why the history is not whole
	lost   uint32                   // the server after which another is awaited
	since  time.Duration
	other  time.Duration // when that first acknowledged a write; 0: not yet
}

// startWriters starts n clients, spread over the proxies.
func (d *Data) startWriters(ctx context.Context, n int, pause time.Duration) *Writers {
	ctx, cancel := context.WithCancel(ctx)
	w := &Writers{data: d, history: &d.run.Writes, cancel: cancel, newest: map[string]time.Duration{}}
	for i := range n {
		c := &writer{
			writers: w, number: i, rand: d.run.newRand(), proxy: d.Proxies[i%len(d.Proxies)], transactions: i%2 == 1,
		}
		w.wg.Go(func() { c.loop(ctx, pause) })
	}
	return w
}

// stop lets what was begun end, and waits for it.
func (w *Writers) stop() error {
	w.cancel()
	w.wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Acked is how many writes were acknowledged so far.
func (w *Writers) Acked() int64 { return w.acked.Load() }

// saw notes an acknowledged write.
func (w *Writers) saw(write check.DBWrite) {
	w.acked.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest[write.Proxy] = max(w.newest[write.Proxy], write.Call)
	g, err := check.ParseGTID(write.GTID)
	if err == nil && g.Server != w.lost && write.Return > w.since && (w.other == 0 || write.Return < w.other) {
		w.other = write.Return
	}
}

// awaitOther begins to look for a write that another server than this one acknowledges after a moment.
func (w *Writers) awaitOther(lost uint32, since time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost, w.since, w.other = lost, since, 0
}

// otherAcked is when another server first acknowledged a write.
func (w *Writers) otherAcked() (time.Duration, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.other == 0 {
		return 0, errors.New("no other server has acknowledged a write")
	}
	return w.other, nil
}

// lastAcked is when the newest of a proxy's acknowledged writes was begun.
func (w *Writers) lastAcked(proxy string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest[proxy]
}

type writer struct {
	writers      *Writers
	number       int
	rand         *rand.Rand
	proxy        *ProxyHost
	transactions bool
	conn         *dbclient.Conn
}

func (c *writer) loop(ctx context.Context, pause time.Duration) {
	defer c.drop()
	for ctx.Err() == nil {
		if c.conn == nil {
			if err := c.connect(ctx); err != nil {
				wait(ctx, reconnectWait)
				continue
			}
		}
		// What was begun may end: the outcome would be unknown for no reason.
		c.once(context.WithoutCancel(ctx))
		wait(ctx, pause/2+time.Duration(c.rand.Int64N(int64(pause))))
	}
}

func (c *writer) drop() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *writer) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	conn, err := dbclient.Dial(ctx, dbclient.Config{Addr: c.proxy.MySQL(), User: dataUser, Password: dataSecret, Database: dataDatabase})
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, trackCommits); err != nil {
		conn.Close()
		return err
	}
	c.conn = conn
	return nil
}

// once writes once and records what became of it.
func (c *writer) once(ctx context.Context) {
	w := check.DBWrite{ID: c.writers.last.Add(1), Parts: 1, Client: c.number, Proxy: c.proxy.Name()}
	if c.transactions {
		w.Parts = 2
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	w.Call = c.writers.data.run.Timeline.Since()
	gtid, outcome, err := c.write(ctx, w)
	w.Return = c.writers.data.run.Timeline.Since()
	w.GTID, w.Outcome = gtid, outcome
	if err != nil {
		w.Error = err.Error()
		c.drop()
	} else {
		c.writers.saw(w)
	}
	if err := c.writers.history.Add(w); err != nil {
		c.writers.mu.Lock()
		c.writers.err = err
		c.writers.mu.Unlock()
	}
}

// write sends a write. Before its last statement was sent a failure is surely none.
func (c *writer) write(ctx context.Context, w check.DBWrite) (gtid string, outcome check.Outcome, err error) {
	insert := func(part int) string { return fmt.Sprintf("INSERT INTO writes (id, part) VALUES (%d, %d)", w.ID, part) }
	last := insert(1)
	if c.transactions {
		for _, sql := range []string{"BEGIN", insert(1), insert(2)} {
			if _, err := c.conn.Exec(ctx, sql); err != nil {
				return "", check.Failed, err
			}
		}
		last = "COMMIT"
	}
	ok, err := c.conn.Exec(ctx, last)
	if err != nil {
		return "", decided(err), err
	}
	return ok.GTID(), check.OK, nil
}

// refusals are answers to a commit, or to a statement that commits by itself, after which nothing of it was done.
var refusals = map[uint16]bool{
	1040: true, // too many connections
	1203: true, // too many of this user
	1205: true, // lock wait timeout
	1213: true, // deadlock
	1290: true, // read-only; the proxy's hold timeout
	1429: true, // the proxy did not reach the primary: nothing was executed
	1836: true, // read-only
}

// decided sorts what a last statement was answered with. What is not known to be a refusal is in doubt.
func decided(err error) check.Outcome {
	if e, answered := errors.AsType[*dbclient.Error](err); answered && refusals[e.Code] {
		return check.Failed
	}
	return check.Unknown
}
