package mysql

import (
	"context"
	"errors"
	"fmt"
)

// sweep kills what could still write and waits until it is gone. It is for a
// server that is read-only already: there only accounts in w can be committing.
// Open transactions of others fail when they commit; their locks are what is
// swept away, once. patient waits until the server can list them anew; otherwise
// a list that may be old is not used, so that nobody is killed for a transaction
// that is over.
func (s *Server) sweep(ctx context.Context, c *session, w *writers, patient bool, killed *[]Killed) error {
	transactions := !s.swept.Load()
	if wait := s.transactionsFresh(); transactions && wait > 0 {
		if !patient {
			transactions = false
		} else if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	for {
		now, err := c.awaitAcks(ctx)
		if err != nil {
			return err
		}
		if transactions {
			s.transactionsRead()
			if now, err = c.clients(ctx, clientsWithTrxQuery); err != nil {
				return err
			}
		}
		list := victims(now, s.cfg.User, w)
		clean := len(list) == 0 && waitingForAck(now) == nil
		if hasWriter(list) {
			list, err = s.killFrozen(ctx, c, w, list)
		} else {
			err = c.kill(ctx, list)
		}
		*killed = append(*killed, list...)
		if err != nil {
			return err
		}
		if err := c.awaitGone(ctx, list); err != nil {
			return err
		}
		if transactions {
			s.swept.Store(true)
			transactions = false
		}
		if clean {
			return nil
		}
		// Once more, for a writer that has logged in meanwhile.
	}
}

// awaitAcks waits until no session waits for an acknowledgement, and returns the
// sessions of that moment. With a replica connected that is soon; without one it
// returns ErrWaitingForAck in the end.
func (c *session) awaitAcks(ctx context.Context) ([]client, error) {
	for {
		now, err := c.clients(ctx, clientsQuery)
		if err != nil {
			return nil, err
		}
		ack := waitingForAck(now)
		if ack == nil {
			return now, nil
		}
		if err := sleep(ctx, ackPause); err != nil {
			return nil, fmt.Errorf("%w: %w", ack, err)
		}
	}
}

// killFrozen kills while no commit can run. A session that may write could
// enter its wait for the acknowledgement between our look and our KILL, and
// KILL would commit it; under the global read lock none can.
func (s *Server) killFrozen(ctx context.Context, c *session, w *writers, list []Killed) ([]Killed, error) {
	left := remaining(ctx, s.cfg.StatementTimeout)
	if left <= 0 {
		return nil, fmt.Errorf("freeze: no time left: %w", context.DeadlineExceeded)
	}
	err := c.execWithin(context.WithoutCancel(ctx), left+s.cfg.StatementTimeout, "flush tables with read lock",
		limited(left, "FLUSH TABLES WITH READ LOCK"))
	if err != nil {
		c.discard()
		if timedOut(err) {
			err = fmt.Errorf("%w: %w", ErrFenceTimeout, err)
		}
		return nil, err
	}
	dctx, cancel := s.detached(ctx)
	defer cancel()
	now, err := c.clients(dctx, clientsQuery)
	if err == nil {
		err = waitingForAck(now)
	}
	if err == nil {
		list = append(onlyTransactions(list), victims(now, s.cfg.User, w)...)
		err = c.kill(dctx, list)
	} else {
		list = nil
	}
	if uerr := c.exec(dctx, "unlock tables", "UNLOCK TABLES"); uerr != nil {
		c.discard() // the lock ends with the connection
		err = errors.Join(err, uerr)
	}
	return list, err
}

func onlyTransactions(list []Killed) (out []Killed) {
	for _, k := range list {
		if k.Why == whyOpenTransaction {
			out = append(out, k)
		}
	}
	return out
}
