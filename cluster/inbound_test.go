package cluster

import (
	"bytes"
	"context"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// A leader that vanishes half way through a snapshot keeps the follower from
// voting for a bounded time only. Without the bound the two that are left never
// elect.
func TestSnapshotStallsHalfWay(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup = func(_ string, c *Config) { c.stallTimeout = 500 * time.Millisecond }
	nodes := f.group(3)
	f.mustPut("a", "1")
	leader := f.leader(nodes...)
	follower := others(nodes, leader)[0]
	half := &halfReader{rest: bytes.NewReader(make([]byte, 600<<10)), more: make(chan struct{})}
	sent := sendSnapshot(t, leader, follower, 1<<20, half)
	release := sync.OnceFunc(func() { close(half.more) })
	t.Cleanup(release)
	f.eventually("the follower receives the snapshot", func() bool {
		found, err := filepath.Glob(filepath.Join(follower.cfg.DataDir, snapshotsDir, "*.tmp"))
		return err == nil && len(found) > 0
	})
	f.crash(leader)
	next := f.leader(others(nodes, leader)...)
	if _, err := put(t.Context(), next, "b", "1"); err != nil {
		t.Error(err)
	}
	f.eventually("the follower goes on", func() bool { return get(follower.State(), "b") == "1" })
	release()
	if err := <-sent; err == nil {
		t.Error("half a snapshot was installed")
	}
}

// halfReader yields the first half and then waits.
type halfReader struct {
	rest io.Reader
	more chan struct{} // closed: an error instead of more
}

func (r *halfReader) Read(p []byte) (int, error) {
	n, err := r.rest.Read(p)
	if n == 0 {
		<-r.more
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// sendSnapshot sends what from could send to to, over a connection of its own.
func sendSnapshot(t *testing.T, from, to *Node, size int64, data io.Reader) <-chan error {
	t.Helper()
	quiet, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{
		listener: quiet, self: from.ID(), log: hclog.NewNullLogger(), cluster: from.ClusterID,
		dial: func(ctx context.Context, a string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", a)
		},
		judge:       func(preamble) verdict { return notMember },
		incarnation: from.stores.identity.get().Incarnation,
		known:       func(string) string { return "" },
	}
	s.start()
	trans := raft.NewNetworkTransport(s, 1, time.Minute, io.Discard)
	last := from.raft.LastIndex()
	req := &raft.InstallSnapshotRequest{
		RPCHeader:       raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(from.ID()), Addr: []byte(from.cfg.Advertise)},
		SnapshotVersion: raft.SnapshotVersionMax, Term: from.Term(), Leader: []byte(from.cfg.Advertise),
		LastLogIndex: last, LastLogTerm: from.Term(), Configuration: raft.EncodeConfiguration(from.configuration()), ConfigurationIndex: 1, Size: size,
	}
	sent := make(chan error, 1)
	var sending sync.WaitGroup
	sending.Go(func() {
		sent <- trans.InstallSnapshot(raft.ServerID(to.ID()), target(to.ID(), to.cfg.Advertise), req, new(raft.InstallSnapshotResponse), data)
	})
	t.Cleanup(func() {
		_ = trans.Close()
		sending.Wait()
	})
	return sent
}

// A connection may be idle for ever, before an RPC and after one, but an RPC
// that has begun must go on.
func TestInbound(t *testing.T) {
	near, far := net.Pipe()
	const stall = 20 * time.Millisecond
	c := &inbound{Conn: far, stall: stall, log: hclog.NewNullLogger()}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	read := func() <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 8))
			done <- err
		}()
		return done
	}
	idle := func(when string) {
		t.Helper()
		done := read()
		select {
		case err := <-done:
			t.Fatalf("an idle connection ends %s: %v", when, err)
		case <-time.After(5 * stall):
		}
		write(t, near, []byte("begin"))
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	idle("before its first RPC")
	done := read()
	write(t, near, []byte("more"))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = near.Read(make([]byte, 8)) }()
	write(t, c, []byte("answer"))
	idle("after an answer")
	select {
	case err := <-read():
		if err == nil {
			t.Error("it read what nobody wrote")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("an RPC that stalls is waited for")
	}
	if _, err := far.Write([]byte("x")); err == nil {
		t.Error("the connection is open after a stall")
	}
}
