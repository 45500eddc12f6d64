package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const readBuffer = 16 * 1024

// Invoker is one op-2 connection after its Hello: it sends requests to the peer
// ([Invoker.Call], [Invoker.Send]) and hands the peer's requests to its handler,
// many at once in both directions. Its methods may be used from any goroutine.
type Invoker struct {
	cfg  Config
	conn net.Conn
	in   *bufio.Reader
	out  outbox

	principal atomic.Pointer[Principal]
	names     map[string]string // names of requests seen, so that each is allocated once; the reader's
	base      context.Context   // of all handlers; set by Serve
	cancel    context.CancelFunc

	maxAnswer int // bytes: MaxAnswer, less in tests; all unfinished answers have twice of it

	started  time.Time
	received atomic.Int64 // when the last byte came, since started
	held     atomic.Int64 // bytes of bodies that are handled or wait

	oneWay   chan *Request // made with the first one-way call; the reader's
	handlers sync.WaitGroup

	closing chan struct{} // closed when the connection begins to end
	ended   chan struct{} // closed when Serve returns, or at once if it was not called

	mu         sync.Mutex
	lastID     uint64
	calls      map[uint64]*call              // own calls that wait for an answer
	assembling int                           // bytes of their unfinished answers
	handling   map[uint64]context.CancelFunc // the peer's requests in flight
	draining   chan struct{}                 // closed when handling is empty; nil: not draining
	serving    bool
	reason     error // why it ended; set when closing is closed
}

// NewInvoker makes an invoker of a connection on which a Hello was exchanged. It
// does no I/O: call Serve. The error is cfg's.
func NewInvoker(conn net.Conn, p Principal, cfg Config) (*Invoker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	inv := &Invoker{
		cfg:       cfg,
		conn:      conn,
		names:     make(map[string]string),
		maxAnswer: MaxAnswer,
		started:   time.Now(),
		closing:   make(chan struct{}),
		ended:     make(chan struct{}),
		calls:     make(map[uint64]*call),
		handling:  make(map[uint64]context.CancelFunc),
	}
	inv.in = bufio.NewReaderSize(&activity{inv: inv}, readBuffer)
	inv.out = outbox{
		conn: conn, counters: cfg.Counters, timeout: cfg.WriteTimeout, limit: cfg.MaxQueued,
		release: inv.release, wake: make(chan struct{}, 1),
	}
	inv.principal.Store(&p)
	return inv, nil
}

// activity reads from the connection and notes when something came.
type activity struct{ inv *Invoker }

func (a *activity) Read(b []byte) (int, error) {
	n, err := a.inv.conn.Read(b)
	if n > 0 {
		a.inv.received.Store(int64(time.Since(a.inv.started)))
		a.inv.cfg.Counters.BytesIn.Add(int64(n))
	}
	return n, err
}

// Principal is who stands at the other end.
func (inv *Invoker) Principal() Principal { return *inv.principal.Load() }

// SetPrincipal replaces it, for a login after the Hello.
func (inv *Invoker) SetPrincipal(p Principal) { inv.principal.Store(&p) }

// RemoteAddr is the peer's address.
func (inv *Invoker) RemoteAddr() net.Addr { return inv.conn.RemoteAddr() }

// Done is closed when the connection begins to end; no call succeeds after it.
func (inv *Invoker) Done() <-chan struct{} { return inv.closing }

// Err is why the connection ended, nil while it lives.
func (inv *Invoker) Err() error {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	return inv.reason
}

// Serve reads and writes until the connection ends, ctx ends or the invoker is closed,
// and returns why: io.EOF when the peer closed, ErrClosed when this side did. When it
// returns, the connection is closed and every goroutine, handler and call of it is over.
// It is called once.
func (inv *Invoker) Serve(ctx context.Context) error {
	inv.mu.Lock()
	if inv.serving {
		inv.mu.Unlock()
		return errors.New("serve invoker: it is served already")
	}
	if inv.reason != nil {
		defer inv.mu.Unlock()
		return inv.reason
	}
	inv.serving = true
	inv.base, inv.cancel = context.WithCancel(context.WithValue(ctx, contextKey{}, inv))
	inv.mu.Unlock()

	defer close(inv.ended)
	defer inv.cancel()
	stop := context.AfterFunc(ctx, func() { inv.Stop(context.Cause(ctx)) })
	defer stop()

	var writer sync.WaitGroup
	writer.Go(inv.writeLoop)
	inv.Stop(inv.readLoop())
	inv.loseCalls(inv.out.settle())
	writer.Wait()
	if inv.oneWay != nil {
		close(inv.oneWay)
	}
	inv.handlers.Wait()
	return inv.Err()
}

// Stop begins the connection's end and returns at once; reason (nil: ErrClosed)
// is what Err and Serve will say if it is the first.
func (inv *Invoker) Stop(reason error) {
	if reason == nil {
		reason = ErrClosed
	}
	inv.mu.Lock()
	if inv.reason != nil {
		inv.mu.Unlock()
		return
	}
	inv.reason = reason
	serving := inv.serving
	close(inv.closing)
	inv.mu.Unlock()

	inv.out.fail(&connError{reason})
	if serving {
		inv.cancel()
	} else {
		close(inv.ended)
	}
	if err := inv.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		inv.cfg.Logger.Debug("close connection", "remote", inv.conn.RemoteAddr(), "error", err)
	}
}

// Close ends the connection and waits for its goroutines and handlers. A handler
// must not call it on its own invoker.
func (inv *Invoker) Close() error {
	inv.Stop(ErrClosed)
	<-inv.ended
	return nil
}

// Drain answers new requests with NotReady, waits until those in flight are answered
// and the answers are written, and closes. When ctx ends first it closes at once and
// returns ctx's error. Own calls in flight are lost.
func (inv *Invoker) Drain(ctx context.Context) error {
	inv.mu.Lock()
	if inv.draining == nil {
		inv.draining = make(chan struct{})
		if len(inv.handling) == 0 {
			close(inv.draining)
		}
	}
	empty := inv.draining
	inv.mu.Unlock()
	var err error
	select {
	case <-empty:
		inv.out.signal()
		if e := inv.out.drained(ctx); e != nil && ctx.Err() != nil {
			err = fmt.Errorf("drain %v: %w", inv.conn.RemoteAddr(), e)
		}
	case <-inv.closing:
	case <-ctx.Done():
		err = fmt.Errorf("drain %v: requests are still handled: %w", inv.conn.RemoteAddr(), ctx.Err())
	}
	return errors.Join(err, inv.Close())
}

// release takes a request of the peer off the list of those in flight. The outbox
// calls it when the answer is in its buffer.
func (inv *Invoker) release(id uint64) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	delete(inv.handling, id)
	if inv.draining != nil && len(inv.handling) == 0 {
		select {
		case <-inv.draining:
		default:
			close(inv.draining)
		}
	}
}

// writeLoop flushes when asked and keeps an idle connection honest.
func (inv *Invoker) writeLoop() {
	alive := newKeepalive(inv)
	defer alive.ticker.Stop()
	for {
		var err error
		select {
		case <-inv.closing:
			return
		case <-inv.out.wake:
			err = inv.out.flush()
		case now := <-alive.ticker.C:
			err = alive.tick(now)
		}
		if err != nil {
			inv.Stop(fmt.Errorf("write: %w", err))
			return
		}
	}
}

// readLoop reads frames until one cannot be read or is not op 2.
func (inv *Invoker) readLoop() error {
	for {
		payload, err := inv.readFrame()
		if err != nil {
			return err
		}
		inv.cfg.Counters.FramesIn.Add(1)
		if err := inv.dispatch(payload); err != nil {
			return err
		}
	}
}

// readFrame reads one frame. Between frames it waits without end (the keepalive
// looks after that), but a frame that has begun must be whole within FrameTimeout.
func (inv *Invoker) readFrame() ([]byte, error) {
	if _, err := inv.in.Peek(1); err != nil {
		return nil, err
	}
	timed := false
	arm := func(want int) error {
		if timed || inv.in.Buffered() >= want {
			return nil
		}
		timed = true
		return inv.conn.SetReadDeadline(time.Now().Add(inv.cfg.FrameTimeout))
	}
	if err := arm(HeaderSize); err != nil {
		return nil, err
	}
	head, err := inv.in.Peek(HeaderSize)
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read frame: header: %w", err)
	}
	h, err := ParseHeader(head)
	if err != nil {
		return nil, fmt.Errorf("read frame: %w", err)
	}
	if h.Op != OpInvoke {
		return nil, fmt.Errorf("read frame: %w: op %d on a connection of op 2", ErrProtocol, h.Op)
	}
	if _, err := inv.in.Discard(HeaderSize); err != nil {
		return nil, err
	}
	if err := arm(h.PayloadLen); err != nil {
		return nil, err
	}
	payload, err := ReadPayload(inv.in, h, nil)
	if err != nil {
		return nil, fmt.Errorf("read frame: %w", err)
	}
	if timed {
		return payload, inv.conn.SetReadDeadline(time.Time{})
	}
	return payload, nil
}
