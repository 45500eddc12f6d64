package cluster

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// raftTransport is raft's transport with pipelines that end, and with snapshots
// that a slow follower can make use of (trailing.go).
//
// raft v1.7.3 stops to read a pipeline's answers at the first that is negative
// (a newer term, a log that differs, no answer in time) and closes the pipeline
// only when the goroutine that sends comes back. That one may wait for good: it
// hands the request just sent to the goroutine that decodes, which hands the
// next answer to nobody. The goroutine is lost, with it the stop of raft (it
// waits for all of its goroutines), and, if the leader leads on, the replication
// to that follower. The other way round, when the guard ends the goroutine that
// sends, nobody tells the one that reads.
type raftTransport struct {
	*raft.NetworkTransport
	retained *retained
}

// AppendEntriesPipeline opens a pipeline that is closed at its first negative
// answer.
func (t raftTransport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	p := &pipeline{AppendPipeline: inner, answers: make(chan raft.AppendFuture, 1), closed: make(chan struct{})}
	p.forwarder.Go(p.forward)
	return p, nil
}

// pipeline passes the answers of raft's pipeline on.
type pipeline struct {
	raft.AppendPipeline
	answers   chan raft.AppendFuture
	closed    chan struct{}
	closeOnce sync.Once
	forwarder sync.WaitGroup
}

// Consumer yields the answers in order, up to the first negative one.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close closes raft's pipeline and its connection, and has a reader that is left
// over end too.
func (p *pipeline) Close() error {
	err := p.AppendPipeline.Close()
	p.closeOnce.Do(func() {
		close(p.closed)
		p.forwarder.Wait()
		select {
		case <-p.answers: // raft replaces what it does not know to be stored
		default:
		}
		p.answers <- noAnswer{} // nobody else writes now: there is room
	})
	return err
}

// noAnswer is a negative answer to nothing.
type noAnswer struct{}

func (noAnswer) Error() error                          { return raft.ErrPipelineShutdown }
func (noAnswer) Start() time.Time                      { return time.Now() }
func (noAnswer) Request() *raft.AppendEntriesRequest   { return new(raft.AppendEntriesRequest) }
func (noAnswer) Response() *raft.AppendEntriesResponse { return new(raft.AppendEntriesResponse) }

// forward ends with Close, or after a negative answer: nobody reads another.
func (p *pipeline) forward() {
	in := p.AppendPipeline.Consumer()
	for {
		select {
		case f := <-in:
			last := !f.Response().Success || f.Response().Term > f.Request().Term
			select {
			case p.answers <- f:
			case <-p.closed:
				return
			}
			if last {
				_ = p.AppendPipeline.Close() // its only error is none
				return
			}
		case <-p.closed:
			return
		}
	}
}
