package cluster

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// raft v1.7.3's pipeline waits for good when its reader stops at a negative
// answer; ours ends. If the first part fails with a later raft, pipeline.go has
// become needless.
func TestPipelineEndsAtNegativeAnswer(t *testing.T) {
	for name, ours := range map[string]bool{"raft v1.7.3 waits for good": false, "ours ends": true} {
		t.Run(name, func(t *testing.T) {
			follower, leader := listenRaft(t), listenRaft(t)
			stop := make(chan struct{})
			var answering sync.WaitGroup
			answering.Go(func() { // a follower in a newer term
				for {
					select {
					case rpc := <-follower.Consumer():
						rpc.Respond(&raft.AppendEntriesResponse{Term: 2}, nil)
					case <-stop:
						return
					}
				}
			})
			t.Cleanup(func() { close(stop); answering.Wait() })
			open := leader.AppendEntriesPipeline
			if ours {
				open = raftTransport{NetworkTransport: leader}.AppendEntriesPipeline
			}
			p, err := open("f", follower.LocalAddr())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Close() })

			// As raft does: one goroutine sends, one reads up to a negative answer.
			read := make(chan raft.AppendFuture, 1)
			go func() { read <- <-p.Consumer() }()
			sent := make(chan error, 1)
			go func() {
				for {
					if _, err := p.AppendEntries(&raft.AppendEntriesRequest{Term: 1}, new(raft.AppendEntriesResponse)); err != nil {
						sent <- err
						return
					}
				}
			}()
			if f := <-read; f.Response().Success || f.Response().Term != 2 {
				t.Fatalf("answer %+v", f.Response())
			}
			if !ours {
				select {
				case err := <-sent:
					t.Errorf("raft's pipeline ends by itself: %v", err)
				case <-time.After(300 * time.Millisecond):
				}
				_ = p.Close()
			}
			select {
			case err := <-sent:
				if ours && !errors.Is(err, raft.ErrPipelineShutdown) && !errors.Is(err, net.ErrClosed) {
					t.Logf("it ended with %v", err) // a write to the connection that was closed
				}
			case <-time.After(5 * time.Second):
				t.Fatal("the sender still waits")
			}
		})
	}
}

// A reader that nobody stops, because the goroutine that sends was ended, ends
// with the pipeline.
func TestPipelineEndsItsReader(t *testing.T) {
	follower, leader := listenRaft(t), listenRaft(t)
	for name, unread := range map[string]bool{"nothing is unread": false, "an answer is unread": true} {
		t.Run(name, func(t *testing.T) {
			p, err := raftTransport{NetworkTransport: leader}.AppendEntriesPipeline("f", follower.LocalAddr())
			if err != nil {
				t.Fatal(err)
			}
			if unread {
				if _, err := p.AppendEntries(&raft.AppendEntriesRequest{Term: 1}, new(raft.AppendEntriesResponse)); err != nil {
					t.Fatal(err)
				}
				rpc := <-follower.Consumer()
				rpc.Respond(&raft.AppendEntriesResponse{Term: 1, Success: true}, nil)
				eventually(t, "the answer is there", func() bool { return len(p.Consumer()) == 1 })
			}
			for range 2 {
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case f := <-p.Consumer():
				if f.Response().Success || f.Response().Term > f.Request().Term {
					t.Errorf("the last answer is %+v", f.Response())
				}
			case <-time.After(5 * time.Second):
				t.Fatal("the reader still waits")
			}
		})
	}
}

func listenRaft(t *testing.T) *raft.NetworkTransport {
	t.Helper()
	trans, err := raft.NewTCPTransport("127.0.0.1:0", nil, 2, time.Minute, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = trans.Close()
		trans.CloseStreams()
	})
	return trans
}

// Proposals of many clients to three keepers on loopback.
func BenchmarkPropose(b *testing.B) {
	f := newFleet(b)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	var key atomic.Int64
	b.SetParallelism(64)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		mine := "k" + time.Duration(key.Add(1)).String()
		for pb.Next() {
			if _, err := put(b.Context(), leader, mine, "some bytes of a section"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
