package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// maxPieces bounds what is under way in one direction of a connection.
const maxPieces = 64

// link is the relay of what one place dials at another.
type link struct {
	rules *rules
	pair  fault.Pair // who dials, who is dialled
	from  net.IP     // where the connections to the dialled one come from
	to    string     // host:port of the dialled one
}

// ending is how one side has ended its direction of a connection.
type ending int

const (
	open   ending = iota
	closed        // by a regular end: the other direction may go on
	broken        // by an error: both directions are over
)

// piece is what was read at once, or the end.
type piece struct {
	data []byte
	due  time.Time
	end  ending
}

// flow is one direction of a connection.
type flow struct {
	rules  *rules
	pair   fault.Pair
	back   fault.Pair // the pair of the other direction
	pieces chan piece
	over   chan struct{} // closed when nothing more will be written
	unread chan struct{} // closed when the destination took no more
}

func newFlow(r *rules, pair fault.Pair) *flow {
	return &flow{rules: r, pair: pair, back: fault.Pair{From: pair.To, To: pair.From}, pieces: make(chan piece, maxPieces),
		over: make(chan struct{}), unread: make(chan struct{})}
}

// handle carries one connection. It is accepted, as the caller sees it, and is made when nothing is cut.
func (l *link) handle(ctx context.Context, caller *net.TCPConn) {
	ctx, cancel := context.WithCancel(ctx)
	var readers, writers sync.WaitGroup
	defer func() {
		cancel()
		caller.Close()
		readers.Wait()
	}()
	there := newFlow(l.rules, l.pair)
	here := newFlow(l.rules, there.back)

	waiting, gone := context.WithCancel(ctx)
	defer gone()
	readers.Go(func() {
		there.read(ctx, caller)
		gone() // one that gave up before the connection was made has never been there
	})
	if l.rules.gate(waiting, there.pair, there.back) != nil {
		return
	}
	callee, err := dial(ctx, l.from, l.to)
	if err != nil {
		_ = l.rules.gate(ctx, there.back) // a refusal does not come through a cut either; an end of ctx is the end of all
		reset(caller)
		return
	}
	defer callee.Close()
	defer context.AfterFunc(ctx, func() {
		caller.Close()
		callee.Close()
	})()
	readers.Go(func() { here.read(ctx, callee) })
	carry := func(f, other *flow, to *net.TCPConn) {
		defer cancel()
		if f.write(ctx, to, other) == closed {
			<-other.over // the other direction may go on
			return
		}
		reset(caller)
		reset(callee)
	}
	writers.Go(func() { carry(there, here, callee) })
	writers.Go(func() { carry(here, there, caller) })
	writers.Wait()
}

// read takes what comes from a side until it ends.
func (f *flow) read(ctx context.Context, from *net.TCPConn) {
	for {
		buffer := make([]byte, pieceSize)
		n, err := from.Read(buffer)
		p := piece{data: buffer[:n]}
		switch {
		case errors.Is(err, io.EOF):
			p.end = closed
		case err != nil:
			p.end = broken
		}
		p.due = time.Now().Add(f.rules.treat(f.pair, p.data))
		select {
		case f.pieces <- p:
		case <-ctx.Done():
			return
		}
		if p.end != open {
			return
		}
	}
}

// write hands on what was read, each piece when it is due and nothing is cut, and tells how the direction ended.
func (f *flow) write(ctx context.Context, to *net.TCPConn, other *flow) ending {
	defer close(f.over)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var p piece
		select {
		case <-ctx.Done():
			return broken
		case p = <-f.pieces:
		}
		if wait := time.Until(p.due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return broken
			}
		}
		if f.rules.gate(ctx, f.pair) != nil {
			return broken
		}
		if len(p.data) > 0 {
			if _, err := to.Write(p.data); err != nil {
				close(f.unread)
				return f.refused(ctx, other)
			}
		}
		switch p.end {
		case closed:
			_ = to.CloseWrite() // an error here is the other direction's to find
			return closed
		case broken:
			return broken
		}
	}
}

// refused is for a direction whose destination takes no more. The news goes to the source by the other direction: behind
// what the destination said last, and not while that direction is cut.
func (f *flow) refused(ctx context.Context, other *flow) ending {
	select {
	case <-other.over:
	case <-other.unread:
	case <-ctx.Done():
		return broken
	}
	_ = f.rules.gate(ctx, f.back) // an end of ctx is the end of all
	return broken
}
