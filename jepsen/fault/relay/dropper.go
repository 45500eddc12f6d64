package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
)

// DropperConfig says whose answers are lost.
type DropperConfig struct {
	Target string  // host:port of the server
	Listen string  // host:port to listen on; empty: a free port of 127.0.0.1
	Share  float64 // of the answers, 0 to 1
	Seed   uint64
	// First lets the first answer of a connection be lost as well. It is spared otherwise: in most protocols it belongs to
	// a handshake.
	First bool
}

// Validate returns an error that names what is wrong.
func (c DropperConfig) Validate() error {
	if c.Target == "" {
		return errors.New("no Target: name the server's host:port")
	}
	if err := checkShare(c.Share); err != nil {
		return fmt.Errorf("share %v: %w", c.Share, err)
	}
	return nil
}

// Dropper is a relay to a server that breaks the connection when an answer is due: the server has done what it was asked
// to, and the client cannot know. An answer is what the server says first after it was sent something.
type Dropper struct {
	cfg      DropperConfig
	server   *server
	share    atomic.Uint64 // the bits of a float64
	answers  atomic.Uint64
	affected atomic.Uint64

	mu  sync.Mutex
	rng *rand.Rand
}

// NewDropper starts to listen. The server need not run yet.
func NewDropper(cfg DropperConfig) (*Dropper, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("make a dropper of answers: %w", err)
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	d := &Dropper{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, cfg.Seed))}
	d.share.Store(math.Float64bits(cfg.Share))
	var err error
	if d.server, err = serve(cfg.Listen, d.handle); err != nil {
		return nil, fmt.Errorf("make a dropper of answers: %w", err)
	}
	return d, nil
}

// Addr is host:port to dial instead of the server's.
func (d *Dropper) Addr() string { return d.server.addr() }

// SetShare changes the share of the answers that are lost; 0 lets all pass.
func (d *Dropper) SetShare(share float64) error {
	if err := checkShare(share); err != nil {
		return fmt.Errorf("lose %v of the answers: %w", share, err)
	}
	d.share.Store(math.Float64bits(share))
	return nil
}

// Affected counts the answers that were lost.
func (d *Dropper) Affected() (uint64, error) { return d.affected.Load(), nil }

// Answers counts the answers that could have been lost, with those that were.
func (d *Dropper) Answers() uint64 { return d.answers.Load() }

// Close ends all connections and stops to listen.
func (d *Dropper) Close() error { return d.server.close() }

func (d *Dropper) handle(ctx context.Context, client *net.TCPConn) {
	server, err := dial(ctx, nil, d.cfg.Target)
	if err != nil {
		reset(client)
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { server.Close() })()
	var asked atomic.Bool // something was sent to the server that it has not answered
	var wg sync.WaitGroup
	wg.Go(func() {
		forward(client, server, func() bool {
			asked.Store(true)
			return true
		})
	})
	wg.Go(func() {
		first := true
		forward(server, client, func() bool {
			if !asked.Swap(false) {
				return true
			}
			spared := first && !d.cfg.First
			first = false
			return spared || !d.drop()
		})
	})
	wg.Wait()
}

func (d *Dropper) drop() bool {
	d.answers.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rng.Float64() >= math.Float64frombits(d.share.Load()) {
		return false
	}
	d.affected.Add(1)
	return true
}

// forward hands on what comes, if pass allows it, until one side ends. A regular end is handed on as one; everything else
// breaks both connections.
func forward(from, to *net.TCPConn, pass func() bool) {
	buffer := make([]byte, pieceSize)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !pass() {
				break
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if errors.Is(err, io.EOF) {
			if to.CloseWrite() == nil {
				return
			}
			break
		}
		if err != nil {
			break
		}
	}
	reset(from)
	reset(to)
}
