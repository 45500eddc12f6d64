package wire

import (
	"context"
	"net"
	"sync"
	"time"
)

// keepBuffer is the largest write buffer that is kept for the next batch.
const keepBuffer = 64 * 1024

// outbox is the write half of an invoker. Senders append frames to one buffer;
// whoever flushes takes all of it and writes it with one system call, while the
// next batch gathers in the other buffer. The position of a frame in the stream says
// afterwards whether it can have left.
type outbox struct {
	conn     net.Conn
	counters *Counters
	timeout  time.Duration // of a write: between timeout and twice of it
	limit    int           // bytes in buf above which senders wait
	release  func(id uint64)
	wake     chan struct{} // holds one token when the writer should flush

	mu       sync.Mutex
	buf      []byte
	spare    []byte
	queued   uint64        // stream position of buf's end
	written  uint64        // stream position up to which the kernel took the bytes
	frames   int64         // in buf
	flushing bool          // one goroutine is between taking buf and finding it empty
	changed  chan struct{} // closed at the next change of the fields above; nil: no one waits
	err      error         // set once; nothing is written any more

	deadlineSet time.Time // of the connection; only by the one who flushes
}

// urgency is how put treats a full buffer.
type urgency bool

const (
	patient urgency = false // wait for room, until ctx or the connection ends
	urgent  urgency = true  // never wait: twice the limit, then ErrOverload
)

// put appends m as one frame and returns the stream position of its end. With
// releasing, the request m answers is no longer counted as in flight once m is in the
// buffer, in one step, so that a peer that keeps to the limit is never refused. It does
// not write: call flush, or signal.
func (o *outbox) put(ctx context.Context, m *Message, u urgency, releasing bool) (end uint64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && len(o.buf) >= o.limit {
		if u == urgent {
			if len(o.buf) < 2*o.limit {
				break
			}
			return 0, ErrOverload
		}
		if err := o.wait(ctx); err != nil {
			return 0, err
		}
	}
	if o.err != nil {
		return 0, o.err
	}
	start := len(o.buf)
	buf, err := AppendMessage(beginFrame(o.buf), m)
	if err == nil {
		err = sealFrame(buf, start, OpInvoke, RandomMask())
	}
	if err != nil {
		o.buf = buf[:start]
		return 0, err
	}
	o.buf = buf
	o.queued += uint64(len(buf) - start)
	o.frames++
	if releasing {
		o.release(m.ID)
	}
	return o.queued, nil
}

// wait returns at the next change, with mu held before and after.
func (o *outbox) wait(ctx context.Context) error {
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	changed := o.changed
	o.mu.Unlock()
	defer o.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// broadcast ends all waits. mu is held.
func (o *outbox) broadcast() {
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}

// signal asks the writer to flush.
func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// flush writes until the buffer is empty. When another goroutine is at it, it
// returns at once: that one will find what was put. The error is the first that any
// write met.
func (o *outbox) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.flushing {
		return nil
	}
	o.flushing = true
	for len(o.buf) > 0 && o.err == nil {
		batch, frames := o.buf, o.frames
		o.buf, o.spare, o.frames = o.spare[:0], nil, 0
		o.broadcast()
		o.mu.Unlock()
		n, err := o.write(batch)
		o.counters.Writes.Add(1)
		o.counters.FramesOut.Add(frames)
		o.counters.BytesOut.Add(int64(n))
		o.mu.Lock()
		o.written += uint64(n)
		if cap(batch) <= keepBuffer {
			o.spare = batch[:0]
		}
		if err != nil && o.err == nil {
			o.err = &connError{err}
		}
	}
	o.flushing = false
	o.broadcast()
	return o.err
}

// write writes batch. The connection's deadline is moved only when half of it is
// gone, for each move costs as much as a small write.
func (o *outbox) write(batch []byte) (int, error) {
	if now := time.Now(); now.Sub(o.deadlineSet) > o.timeout {
		if err := o.conn.SetWriteDeadline(now.Add(2 * o.timeout)); err != nil {
			return 0, err
		}
		o.deadlineSet = now
	}
	return o.conn.Write(batch)
}

// fail makes every later put fail with err.
func (o *outbox) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	o.broadcast()
}

// settle waits until no write is under way and returns how far the stream got.
// Call it after fail, and after the connection was closed, which ends a write.
func (o *outbox) settle() (written uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.flushing {
		if err := o.wait(context.Background()); err != nil {
			break
		}
	}
	return o.written
}

// drained waits until everything that was put is written, or until ctx or the
// connection ends.
func (o *outbox) drained(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && (o.flushing || len(o.buf) > 0) {
		if err := o.wait(ctx); err != nil {
			return err
		}
	}
	return o.err
}
