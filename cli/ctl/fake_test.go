package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zerokeeper/zero/transport/api"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// call is a request that a fake has seen.
type call struct {
	Name  string
	Body  string
	Write bool
	At    string
}

// handler answers one request.
type handler func(body []byte) (any, error)

// say is a handler with one answer.
func say(answer any) handler { return func([]byte) (any, error) { return answer, nil } }

// refuse is a handler with one error.
func refuse(code api.Code, msg string) handler {
	return func([]byte) (any, error) { return nil, &api.Error{Code: code, Msg: msg} }
}

// fake is a group of keepers in this process. Bodies and answers go through
// JSON, as they do on the wire.
type fake struct {
	handlers map[string]handler
	nodes    map[string]handler // NodeStatus, by endpoint
	down     error              // what every request but NodeStatus gets

	mu     sync.Mutex
	calls  []call
	opened Connection
	closed bool
}

func (f *fake) Read(ctx context.Context, name string, in, out any) error {
	return f.ask(ctx, call{Name: name}, in, out)
}

func (f *fake) Write(ctx context.Context, name string, in, out any) error {
	return f.ask(ctx, call{Name: name, Write: true}, in, out)
}

func (f *fake) At(ctx context.Context, endpoint, name string, in, out any) error {
	h, ok := f.nodes[endpoint]
	if !ok {
		return errors.New("connection refused")
	}
	return f.answer(ctx, h, call{Name: name, At: endpoint}, in, out)
}

func (f *fake) Close() error { f.closed = true; return nil }

func (f *fake) ask(ctx context.Context, c call, in, out any) error {
	if f.down != nil {
		return f.down
	}
	h, ok := f.handlers[c.Name]
	if !ok {
		return &api.Error{Code: api.UnknownRequest, Msg: c.Name}
	}
	return f.answer(ctx, h, c, in, out)
}

func (f *fake) answer(ctx context.Context, h handler, c call, in, out any) error {
	if _, ok := ctx.Deadline(); !ok {
		return fmt.Errorf("%s has no deadline", c.Name)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	c.Body = string(body)
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.mu.Unlock()
	answer, err := h(body)
	if err != nil {
		return err
	}
	data, err := json.Marshal(answer)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(data, out)
}

// run is one run of zeroctl.
type run struct {
	fake     *fake
	stdin    string
	env      map[string]string
	discover Discover
	tty      bool
	ctx      context.Context
}

// outcome is what came of it.
type outcome struct {
	code     int
	out, err string
}

// lockedBuffer may be written by the progress line and the command.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (r run) do(args ...string) outcome {
	var out, errs lockedBuffer
	f := r.fake
	if f == nil {
		f = &fake{}
	}
	streams := Streams{
		In: strings.NewReader(r.stdin), Out: &out, Err: &errs, OutTTY: r.tty, ErrTTY: r.tty,
		LookupEnv: func(key string) (string, bool) {
			v, ok := r.env[key]
			return v, ok
		},
	}
	ctx := r.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	code := Main(ctx, args, streams, Dependencies{
		Connect:  func(c Connection) (Keepers, error) { f.opened = c; return f, nil },
		Discover: r.discover,
		Now:      func() time.Time { return moment },
	})
	return outcome{code, out.String(), errs.String()}
}

// moment is the time of the fixtures.
var moment = time.Date(2026, 3, 1, 2, 3, 4, 5_000_000, time.UTC)

// golden compares with a file of testdata, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", path, got, want)
	}
}
