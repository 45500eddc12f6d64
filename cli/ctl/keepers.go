package ctl

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Keepers is what zeroctl asks of the keepers. in is marshalled to the
// request's JSON body; the answer's data is unmarshalled into out unless that
// is nil. An answer that is not OK is an *api.Error; when no keeper answers, the
// error is ErrUnreachable.
type Keepers interface {
	// Read sends a request that changes nothing. It finds the leader and tries
	// again until ctx ends.
	Read(ctx context.Context, name string, in, out any) error
	// Write sends a request that changes something, in a session: however often
	// it must be sent, it happens once.
	Write(ctx context.Context, name string, in, out any) error
	// At asks the keeper at endpoint and no other.
	At(ctx context.Context, endpoint, name string, in, out any) error
	// Close ends the connections.
	Close() error
}

// Connection is how the keepers are reached.
type Connection struct {
	Endpoints   []string // machine ports, host:port
	Consistency string   // of reads; empty is linearizable
	Logger      hclog.Logger
}

// nodeTimeout bounds the question to one keeper among several: one that is
// black-holed must not hide the others.
const nodeTimeout = 2 * time.Second

// read asks with the timeout of the command line.
func (a *app) read(ctx context.Context, name string, in, out any) error {
	return a.readLong(ctx, 0, name, in, out)
}

// readLong asks for what may take longer than the timeout by extra.
func (a *app) readLong(ctx context.Context, extra time.Duration, name string, in, out any) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout+extra)
	defer cancel()
	defer a.progress("waiting for the keepers")()
	return client.Read(ctx, name, in, out)
}

// write asks for a change that may take longer than the timeout by extra.
func (a *app) write(ctx context.Context, extra time.Duration, name string, in, out any) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout+extra)
	defer cancel()
	defer a.progress("waiting for the keepers")()
	return client.Write(ctx, name, in, out)
}

// connect makes the client when it is first needed.
func (a *app) connect() (Keepers, error) {
	if a.client != nil {
		return a.client, nil
	}
	log := hclog.NewNullLogger()
	if a.verbose {
		log = hclog.New(&hclog.LoggerOptions{Name: "zeroctl", Level: hclog.Trace, Output: a.streams.Err})
	}
	client, err := a.deps.Connect(Connection{Endpoints: a.keepers, Consistency: a.consistency, Logger: log})
	if err != nil {
		return nil, err
	}
	a.client = client
	return client, nil
}
