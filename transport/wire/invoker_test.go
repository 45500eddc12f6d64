package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

func echo(_ context.Context, req *Request) (*Response, error) {
	return &Response{Data: req.Body, Meta: Meta{{"name", req.Name}}}, nil
}

func TestCallsBothWays(t *testing.T) {
	a, b := invokers(t, Config{Handler: echo}, Config{Handler: echo})
	var wg sync.WaitGroup
	for i, inv := range []*Invoker{a, b} {
		for n := range 100 {
			wg.Go(func() {
				body := fmt.Sprintf("%d from %d", n, i)
				resp, err := inv.Call(t.Context(), "Echo", nil, []byte(body))
				if err != nil || string(resp.Data) != body || resp.Meta.Get("name") != "Echo" {
					t.Errorf("%s: %+v, %v", body, resp, err)
				}
			})
		}
	}
	wg.Wait()
}

func TestPrincipalAndInvokerReachTheHandler(t *testing.T) {
	var self *Invoker
	handler := Handlers{"Who": func(ctx context.Context, _ *Request) (*Response, error) {
		if FromContext(ctx) != self {
			t.Error("another invoker in the context")
		}
		p := PrincipalFrom(ctx)
		return &Response{Data: []byte(p.Role + "/" + p.ID)}, nil
	}}
	a, b := invokers(t, Config{}, Config{Handler: handler.Serve})
	self = b
	resp, err := a.Call(t.Context(), "Who", nil, nil)
	if err != nil || string(resp.Data) != "proxy/p1" {
		t.Errorf("%+v, %v", resp, err)
	}
	b.SetPrincipal(Principal{Role: "agent", ID: "a1"})
	if resp, err := a.Call(t.Context(), "Who", nil, nil); err != nil || string(resp.Data) != "agent/a1" {
		t.Errorf("after SetPrincipal: %+v, %v", resp, err)
	}
	if FromContext(t.Context()) != nil || PrincipalFrom(t.Context()).ID != "" {
		t.Error("something is found outside of handlers")
	}
}

func TestHandlerErrors(t *testing.T) {
	hint := &api.Error{Code: api.NotLeader, Msg: "ask k2", Data: `{"id":"k2"}`}
	handler := Handlers{
		"NotLeader": func(context.Context, *Request) (*Response, error) {
			return &Response{Meta: Meta{{api.MetaTerm, "4"}}}, fmt.Errorf("propose: %w", hint)
		},
		"Plain": func(context.Context, *Request) (*Response, error) { return nil, errors.New("disk on fire") },
		"Long": func(context.Context, *Request) (*Response, error) {
			return nil, errors.New(strings.Repeat("ä", MaxErrMsg))
		},
		"Panic": func(context.Context, *Request) (*Response, error) { panic("oh") },
		"Meta": func(context.Context, *Request) (*Response, error) {
			return &Response{Meta: make(Meta, MaxMeta+1)}, nil
		},
		"Empty": func(context.Context, *Request) (*Response, error) { return nil, nil },
	}
	var told []api.Code
	counters := new(Counters)
	a, _ := invokers(t, Config{OnError: func(_ *Invoker, e *api.Error) { told = append(told, e.Code) }}, Config{Handler: handler.Serve, Counters: counters})

	resp, err := a.Call(t.Context(), "NotLeader", nil, nil)
	var answer *api.Error
	if !errors.Is(err, api.ErrNotLeader) || !errors.As(err, &answer) || answer.Data != hint.Data || resp.Meta.Get(api.MetaTerm) != "4" {
		t.Errorf("NotLeader: %+v, %v", resp, err)
	}
	for name, want := range map[string]api.Code{"Plain": api.Common, "Long": api.Common, "Panic": api.Common, "Meta": api.Common, "Nobody": api.UnknownRequest, "Empty": api.OK} {
		_, err := a.Call(t.Context(), name, nil, nil)
		if code, _ := api.CodeOf(err); code != want {
			t.Errorf("%s: code %d, want %d (%v)", name, code, want, err)
		}
	}
	if len(told) != 6 || told[0] != api.NotLeader {
		t.Errorf("OnError was told %v", told)
	}
	if counters.Panics.Load() != 1 {
		t.Errorf("%d panics counted", counters.Panics.Load())
	}
}

func TestDeadlineTravels(t *testing.T) {
	handler := Handlers{"Left": func(ctx context.Context, _ *Request) (*Response, error) {
		deadline, ok := ctx.Deadline()
		if !ok {
			return nil, errors.New("no deadline")
		}
		return &Response{Data: []byte(time.Until(deadline).String())}, nil
	}}
	a, _ := invokers(t, Config{CallTimeout: time.Hour}, Config{Handler: handler.Serve, CallTimeout: 20 * time.Second, MaxHandlerTime: time.Minute})
	for _, test := range []struct {
		name      string
		meta      Meta
		low, high time.Duration
	}{
		{"of the context, bounded", nil, 50 * time.Second, time.Minute},
		{"of the metadata", Meta{{api.MetaDeadline, "3000"}}, time.Second, 3 * time.Second},
		{"beyond every number", Meta{{api.MetaDeadline, "18446744073709551615"}}, 50 * time.Second, time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp, err := a.Call(t.Context(), "Left", test.meta, nil)
			if err != nil {
				t.Fatal(err)
			}
			if left, err := time.ParseDuration(string(resp.Data)); err != nil || left < test.low || left > test.high {
				t.Errorf("%s left, want %v to %v", resp.Data, test.low, test.high)
			}
		})
	}
	if _, err := a.Call(t.Context(), "Left", Meta{{api.MetaDeadline, "soon"}}, nil); !errors.Is(err, api.ErrBadRequest) {
		t.Errorf("a deadline that is no number: %v", err)
	}
}

func TestCancelReachesTheHandler(t *testing.T) {
	running, cancelled := make(chan struct{}), make(chan error, 1)
	handler := func(ctx context.Context, _ *Request) (*Response, error) {
		close(running)
		<-ctx.Done()
		cancelled <- ctx.Err()
		return nil, ctx.Err()
	}
	a, _ := invokers(t, Config{}, Config{Handler: handler})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-running
		cancel()
	}()
	resp, err := a.Call(ctx, "Wait", nil, nil)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, api.ErrOutcomeUnknown) || errors.Is(err, ErrNotSent) || resp != nil {
		t.Errorf("%+v, %v", resp, err)
	}
	select {
	case err := <-cancelled:
		if err != context.Canceled {
			t.Errorf("the handler's context ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the handler was not cancelled")
	}
	// A context that is over before the call: nothing is sent.
	if _, err := a.Call(ctx, "Wait", nil, nil); !errors.Is(err, ErrNotSent) || !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestOneWayRunsInOrder(t *testing.T) {
	const n = 500
	got := make(chan string, n)
	counters := new(Counters)
	handler := Handlers{"Note": func(_ context.Context, req *Request) (*Response, error) {
		if !req.OneWay {
			t.Error("not one-way")
		}
		got <- string(req.Body)
		return nil, nil
	}}
	a, _ := invokers(t, Config{}, Config{Handler: handler.Serve, Counters: counters})
	for i := range n {
		if err := a.Send(t.Context(), "Note", nil, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if s := <-got; s != fmt.Sprint(i) {
			t.Fatalf("call %s came as number %d", s, i)
		}
	}
	if err := a.Send(t.Context(), "Nobody", nil, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the unknown one-way is counted", func() bool { return counters.UnknownOneWays.Load() == 1 })
}

func TestOneWayQueueIsBounded(t *testing.T) {
	counters := new(Counters)
	release := make(chan struct{})
	handler := func(context.Context, *Request) (*Response, error) {
		<-release
		return nil, nil
	}
	a, _ := invokers(t, Config{}, Config{Handler: handler, Counters: counters, MaxOneWay: 4})
	for range 100 {
		if err := a.Send(t.Context(), "Note", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are taken or dropped", func() bool { return counters.OneWays.Load() == 100 })
	if dropped := counters.DroppedOneWays.Load(); dropped < 95 || dropped > 96 {
		t.Errorf("%d dropped of 100, with a queue of 4", dropped)
	}
	close(release)
}

func TestInFlightIsBounded(t *testing.T) {
	release := make(chan struct{})
	var running atomic.Int32
	handler := func(context.Context, *Request) (*Response, error) {
		running.Add(1)
		defer running.Add(-1)
		<-release
		return nil, nil
	}
	a, _ := invokers(t, Config{}, Config{Handler: handler, MaxInFlight: 3})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := a.Call(t.Context(), "Wait", nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "three are running", func() bool { return running.Load() == 3 })
	if _, err := a.Call(t.Context(), "Wait", nil, nil); !errors.Is(err, api.ErrBusy) {
		t.Errorf("the fourth: %v", err)
	}
	close(release)
	wg.Wait()
	// Who keeps to the limit is never refused, however quick.
	for range 3 {
		wg.Go(func() {
			for range 300 {
				if _, err := a.Call(t.Context(), "Wait", nil, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestHeldBytesAreBounded(t *testing.T) {
	a, _ := invokers(t, Config{}, Config{Handler: echo, MaxHeld: 100})
	if _, err := a.Call(t.Context(), "Echo", nil, make([]byte, 101)); !errors.Is(err, api.ErrBusy) {
		t.Errorf("above: %v", err)
	}
	for range 3 {
		if _, err := a.Call(t.Context(), "Echo", nil, make([]byte, 100)); err != nil {
			t.Errorf("at the limit: %v", err)
		}
	}
}

func TestPendingIsBounded(t *testing.T) {
	a, _ := invokers(t, Config{MaxPending: 1}, Config{Handler: func(ctx context.Context, _ *Request) (*Response, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	go a.Call(context.Background(), "Wait", nil, nil) //nolint:errcheck // ends with the connection
	eventually(t, "one is pending", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.calls) == 1 })
	if _, err := a.Call(t.Context(), "Wait", nil, nil); !errors.Is(err, api.ErrBusy) || !errors.Is(err, ErrNotSent) {
		t.Errorf("the second: %v", err)
	}
}

func TestTooLargeRequestIsNotSent(t *testing.T) {
	a, _ := invokers(t, Config{}, Config{Handler: echo})
	_, err := a.Call(t.Context(), "Echo", nil, make([]byte, MaxPayload))
	if !errors.Is(err, ErrNotSent) || !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	if _, err := a.Call(t.Context(), "Echo", nil, nil); err != nil {
		t.Errorf("the connection did not live on: %v", err)
	}
}

func TestConnectionLossIsUnknown(t *testing.T) {
	running := make(chan struct{})
	connA, connB := tcpPair(t)
	a := serve(t, connA, Principal{}, Config{})
	b := serve(t, connB, Principal{}, Config{Handler: func(ctx context.Context, _ *Request) (*Response, error) {
		close(running)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	go func() {
		<-running
		b.Stop(nil)
	}()
	_, err := a.Call(t.Context(), "Wait", nil, nil)
	if !errors.Is(err, api.ErrOutcomeUnknown) || errors.Is(err, ErrNotSent) {
		t.Errorf("a call that was read: %v", err)
	}
	<-a.Done()
	if _, err = a.Call(t.Context(), "Wait", nil, nil); !errors.Is(err, ErrNotSent) || errors.Is(err, api.ErrOutcomeUnknown) {
		t.Errorf("a call after the loss: %v", err)
	}
	if code, _ := api.CodeOf(err); code != api.NetConnect {
		t.Errorf("its code is %d", code)
	}
	if !errors.Is(a.Err(), io.EOF) || !errors.Is(b.Err(), ErrClosed) {
		t.Errorf("they ended with %v and %v", a.Err(), b.Err())
	}
}

// TestUnsentIsKnown stops the peer from reading until the kernel takes no more:
// the call whose bytes did not all leave is ErrNotSent.
func TestUnsentIsKnown(t *testing.T) {
	connA, connB := tcpPair(t)
	a := serve(t, connA, Principal{}, Config{MaxQueued: 64 << 20, PingInterval: time.Hour})
	var wg sync.WaitGroup
	var unknown, unsent atomic.Int32
	for range 60 { // 24 MiB, more than loopback's buffers hold
		wg.Go(func() {
			_, err := a.Call(t.Context(), "N", nil, make([]byte, 400<<10))
			switch {
			case errors.Is(err, ErrNotSent) && !errors.Is(err, api.ErrOutcomeUnknown):
				unsent.Add(1)
			case errors.Is(err, api.ErrOutcomeUnknown) && !errors.Is(err, ErrNotSent):
				unknown.Add(1)
			default:
				t.Errorf("neither or both: %v", err)
			}
		})
	}
	eventually(t, "all are queued", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.calls) == 60 })
	eventually(t, "all are in the stream", func() bool { a.out.mu.Lock(); defer a.out.mu.Unlock(); return a.out.queued > 60*400<<10 })
	eventually(t, "the writer has begun", func() bool { a.out.mu.Lock(); defer a.out.mu.Unlock(); return a.out.flushing })
	a.Stop(nil)
	wg.Wait()

	// The peer's count of whole frames is the upper bound of what was unknown.
	whole := int32(0)
	for {
		if _, _, err := ReadFrame(connB, nil); err != nil {
			break
		}
		whole++
	}
	if unsent.Load() == 0 || unsent.Load()+unknown.Load() != 60 {
		t.Errorf("%d unsent, %d unknown of 60", unsent.Load(), unknown.Load())
	}
	if whole > unknown.Load() {
		t.Errorf("the peer has %d whole requests, but only %d calls are unknown", whole, unknown.Load())
	}
}
