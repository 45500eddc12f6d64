package mysql

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// Bypass names the accounts that can write while the server is read-only, but for
// the agent's own and the administrators' (Config.AdminUsers).
func (s *Server) Bypass(ctx context.Context) ([]string, error) {
	c, err := s.session(ctx, s.work)
	if err != nil {
		return nil, fmt.Errorf("accounts that bypass read_only: %w", err)
	}
	defer c.close()
	v, err := c.version(ctx)
	if err != nil {
		return nil, fmt.Errorf("accounts that bypass read_only: %w", err)
	}
	w, err := c.writers(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("accounts that bypass read_only: %w", err)
	}
	return w.except(append(slices.Clone(s.cfg.AdminUsers), s.cfg.User)), nil
}

// Greets connects anew and waits for the first byte of the server's greeting, which
// it sends before it asks who is there, also when it is full. A process that is
// stopped accepts a connection, by its kernel, and says nothing.
func (s *Server) Greets(ctx context.Context) error {
	network, address := "tcp", s.cfg.Address
	if s.cfg.Socket != "" {
		network, address = "unix", s.cfg.Socket
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return fmt.Errorf("greeting of %s: %w", s.cfg.Address, err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetReadDeadline(deadline); err != nil {
			return fmt.Errorf("greeting of %s: %w", s.cfg.Address, err)
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return fmt.Errorf("greeting of %s: %w", s.cfg.Address, err)
	}
	return nil
}
