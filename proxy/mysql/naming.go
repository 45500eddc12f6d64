package mysql

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/zerokeeper/zero/proxy/gate"
)

var (
	// errHeldMeanwhile: the gate was held while a connection was opened.
	errHeldMeanwhile = errors.New("the host group was held meanwhile")
	// errNamedMeanwhile: another primary was named while a connection to the one before was opened.
	errNamedMeanwhile = errors.New("the host group has another primary meanwhile")
)

// whileNamed is the context of opening a connection to primary. It ends as soon as the gate names another one, and, if
// it must be open, when it is held: a server whose host is gone answers nothing, and whoever waited for it to do so
// would miss the one that takes its place. stop must be called after the opening.
func (s *session) whileNamed(ctx context.Context, primary gate.Primary, mustBeOpen bool) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	g := s.group.Gate
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			changed := g.Changed()
			switch now, open, known := g.Current(); {
			case mustBeOpen && !open:
				cancel(errHeldMeanwhile)
				return
			case known && !now.Same(primary):
				cancel(errNamedMeanwhile)
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, func() {
		cancel(nil)
		watch.Wait()
	}
}

// connectionWhile is connection for as long as the gate names that primary and, for a command with a ticket, is open.
// Nothing of the command was sent: it must not keep others, or itself, waiting for a server that may never answer.
func (s *session) connectionWhile(ctx context.Context, primary gate.Primary, mustBeOpen bool) (*backend, error) {
	if b := s.backend; b != nil && s.next == nil && b.primary.Same(primary) && quiet(b.nc) {
		return b, nil
	}
	if mustBeOpen {
		waiting, done, err := s.waiting(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
		ctx = waiting
	}
	ctx, stop := s.whileNamed(ctx, primary, mustBeOpen)
	defer stop()
	b, err := s.connection(ctx, primary)
	if why := context.Cause(ctx); err != nil && why != nil {
		err = fmt.Errorf("%w: %w", why, err)
	}
	return b, err
}

// restoreWhile is restore for as long as ctx lasts.
func (s *session) restoreWhile(ctx context.Context, b *backend) error {
	stop := context.AfterFunc(ctx, func() { _ = b.nc.SetDeadline(past) })
	err := s.restore(b)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	return err
}
