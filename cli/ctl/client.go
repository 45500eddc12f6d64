package ctl

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// ClientKeepers is Keepers over package transport's client.
type ClientKeepers struct {
	client  *transport.Client
	session *transport.Session
	reads   wire.Meta
}

var _ Keepers = (*ClientKeepers)(nil)

// NewClientKeepers makes a client that introduces itself as an operator. It
// connects with the first request.
func NewClientKeepers(c Connection) (*ClientKeepers, error) {
	client, err := transport.NewClient(transport.ClientConfig{
		Endpoints: c.Endpoints,
		Hello:     api.HelloRequest{Role: api.RoleOperator, ID: Operator()},
		MaxConns:  2 * maxKeepers,
		Logger:    c.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("keepers: %w", err)
	}
	k := &ClientKeepers{client: client, session: client.NewSession()}
	if c.Consistency != "" {
		k.reads = k.reads.With(api.MetaConsistency, c.Consistency)
	}
	return k, nil
}

// Read implements Keepers.
func (k *ClientKeepers) Read(ctx context.Context, name string, in, out any) error {
	return exchange(name, in, out, func(body []byte) (*wire.Response, error) {
		return k.client.Query(ctx, name, k.reads, body)
	})
}

// Write implements Keepers.
func (k *ClientKeepers) Write(ctx context.Context, name string, in, out any) error {
	return exchange(name, in, out, func(body []byte) (*wire.Response, error) {
		return k.session.Do(ctx, name, nil, body)
	})
}

// At implements Keepers.
func (k *ClientKeepers) At(ctx context.Context, endpoint, name string, in, out any) error {
	return exchange(name, in, out, func(body []byte) (*wire.Response, error) {
		return k.client.CallAt(ctx, endpoint, name, nil, body)
	})
}

// Close implements Keepers.
func (k *ClientKeepers) Close() error { return k.client.Close() }

// exchange marshals the body, sends it and unmarshals the answer's data.
func exchange(name string, in, out any, send func([]byte) (*wire.Response, error)) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: encode the request: %w", name, err)
	}
	answer, err := send(body)
	if err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Data, out); err != nil {
		return fmt.Errorf("%s: the answer cannot be read: %w", name, &api.Error{Code: api.DataRead, Msg: err.Error()})
	}
	return nil
}
