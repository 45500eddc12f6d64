package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// Stream dials address with a Hello of type [wire.ConnectionListen] or
// [wire.ConnectionTarget] and returns the connection, which from then on carries raw
// bytes (seed 002). meta goes with the Hello.
func (c *Client) Stream(ctx context.Context, address, connectionType string, meta wire.Meta) (net.Conn, error) {
	conn, _, err := c.dial(ctx, address, meta.With(api.MetaConnectionType, connectionType))
	return conn, err
}

// connect makes an invoker of a new connection to address; it is not served yet.
func (c *Client) connect(ctx context.Context, address, connectionType string, cfg wire.Config) (*wire.Invoker, api.HelloAnswer, error) {
	var meta wire.Meta
	if connectionType != "" {
		meta = meta.With(api.MetaConnectionType, connectionType)
	}
	conn, answer, err := c.dial(ctx, address, meta)
	if err != nil {
		return nil, answer, err
	}
	p := wire.Principal{Role: api.RoleKeeper, ID: answer.MemberID, ConnectionType: connectionType, Remote: conn.RemoteAddr(), TLS: TLSState(conn)}
	inv, err := wire.NewInvoker(conn, p, cfg)
	if err != nil {
		conn.Close()
		return nil, answer, err
	}
	return inv, answer, nil
}

// dial connects to address and says Hello. A failure is ErrNotSent to whoever
// wanted to send something; a refusal is an *api.Error within it.
func (c *Client) dial(ctx context.Context, address string, meta wire.Meta) (net.Conn, api.HelloAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	conn, answer, err := c.open(ctx, address, meta)
	if err != nil {
		return nil, answer, fmt.Errorf("connect to %s: %w: %w", address, wire.ErrNotSent, err)
	}
	return conn, answer, nil
}

func (c *Client) open(ctx context.Context, address string, meta wire.Meta) (net.Conn, api.HelloAnswer, error) {
	var answer api.HelloAnswer
	if c.cfg.Token != nil {
		token, err := c.cfg.Token()
		if err != nil {
			return nil, answer, fmt.Errorf("token: %w", err)
		}
		meta = meta.With(api.MetaToken, token)
	}
	conn, err := c.cfg.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, answer, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	secured, answer, err := c.introduce(ctx, conn, address, meta)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, answer, err
	}
	return secured, answer, nil
}

// introduce does the TLS handshake, if any, and the Hello, within ctx's deadline.
func (c *Client) introduce(ctx context.Context, conn net.Conn, address string, meta wire.Meta) (net.Conn, api.HelloAnswer, error) {
	var answer api.HelloAnswer
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, answer, err
	}
	if c.cfg.TLS != nil {
		cfg := c.cfg.TLS
		if cfg.ServerName == "" {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, answer, err
			}
			cfg = cfg.Clone()
			cfg.ServerName = host
		}
		secure := tls.Client(conn, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, answer, fmt.Errorf("TLS handshake: %w", err)
		}
		conn = secure
	}
	answer, err := sayHello(conn, c.cfg.Hello, meta)
	if err != nil {
		return nil, answer, fmt.Errorf("hello: %w", err)
	}
	return conn, answer, conn.SetDeadline(time.Time{})
}
