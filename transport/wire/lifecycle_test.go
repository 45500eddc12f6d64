package wire

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// TestCloseWaitsForHandlers checks that nothing runs once Close has returned.
func TestCloseWaitsForHandlers(t *testing.T) {
	var mu sync.Mutex
	running, done := 0, 0
	begun := make(chan struct{}, 2)
	handler := func(ctx context.Context, _ *Request) (*Response, error) {
		mu.Lock()
		running++
		mu.Unlock()
		begun <- struct{}{}
		<-ctx.Done()
		mu.Lock()
		done++
		mu.Unlock()
		return nil, ctx.Err()
	}
	a, b := invokers(t, Config{}, Config{Handler: handler})
	go a.Call(context.Background(), "Wait", nil, nil) //nolint:errcheck // ends with the connection
	if err := a.Send(t.Context(), "Wait", nil, nil); err != nil {
		t.Fatal(err)
	}
	<-begun
	<-begun
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if running != 2 || done != 2 {
		t.Errorf("%d handlers began, %d ended before Close returned", running, done)
	}
}

func TestHandlerMayCallBackWhileItsInvokerEnds(t *testing.T) {
	asked := make(chan struct{})
	got := make(chan error, 1)
	handler := func(ctx context.Context, _ *Request) (*Response, error) {
		close(asked)
		_, err := FromContext(ctx).Call(ctx, "Back", nil, nil)
		got <- err
		return nil, err
	}
	wait := func(ctx context.Context, _ *Request) (*Response, error) { <-ctx.Done(); return nil, ctx.Err() }
	a, b := invokers(t, Config{Handler: wait}, Config{Handler: handler})
	go a.Call(context.Background(), "Go", nil, nil) //nolint:errcheck // ends with the connection
	<-asked
	b.Close()
	if err := <-got; err == nil {
		t.Error("the call back succeeded")
	}
}

func TestServeEnds(t *testing.T) {
	connA, _ := tcpPair(t)
	inv, err := NewInvoker(connA, Principal{}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("shutting down")
	go cancel(cause)
	if err := inv.Serve(ctx); err != cause {
		t.Errorf("Serve returned %v", err)
	}
	if err := inv.Serve(t.Context()); err == nil {
		t.Error("served twice")
	}
	connB, _ := tcpPair(t)
	unserved, err := NewInvoker(connB, Principal{}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	unserved.Close()
	if err := unserved.Serve(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Serve of a closed one: %v", err)
	}
	if _, err := NewInvoker(connB, Principal{}, Config{MaxInFlight: -1}); err == nil {
		t.Error("a negative limit was taken")
	}
	if _, err := NewInvoker(connB, Principal{}, Config{PingTimeout: -1}); err == nil {
		t.Error("a negative time was taken")
	}
}

func TestDrain(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	handler := Handlers{"Wait": func(context.Context, *Request) (*Response, error) {
		close(begun)
		<-release
		return &Response{Data: []byte("done")}, nil
	}, "Echo": echo}
	a, b := invokers(t, Config{}, Config{Handler: handler.Serve})
	answer := make(chan error, 1)
	go func() {
		resp, err := a.Call(context.Background(), "Wait", nil, nil)
		if err == nil && string(resp.Data) != "done" {
			err = errors.New("another answer")
		}
		answer <- err
	}()
	<-begun
	drained := make(chan error, 1)
	go func() { drained <- b.Drain(context.Background()) }()
	eventually(t, "new requests are refused", func() bool {
		_, err := a.Call(t.Context(), "Echo", nil, nil)
		return errors.Is(err, api.ErrNotReady)
	})
	close(release)
	if err := <-answer; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	if err := <-drained; err != nil {
		t.Errorf("drain: %v", err)
	}
	<-a.Done()
}

func TestDrainIsBounded(t *testing.T) {
	begun := make(chan struct{})
	a, b := invokers(t, Config{}, Config{Handler: func(ctx context.Context, _ *Request) (*Response, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	go a.Call(context.Background(), "Wait", nil, nil) //nolint:errcheck // ends with the connection
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := b.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain: %v", err)
	}
}

// TestKeepalive runs in fake time over an in-memory connection.
func TestKeepalive(t *testing.T) {
	t.Run("two idle ends live on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			connA, connB := net.Pipe()
			counters := new(Counters)
			a := serve(t, connA, Principal{}, Config{Counters: counters})
			b := serve(t, connB, Principal{}, Config{})
			time.Sleep(time.Hour)
			if a.Err() != nil || b.Err() != nil {
				t.Errorf("they ended with %v and %v", a.Err(), b.Err())
			}
			if counters.LateAnswers.Load() != 0 {
				t.Errorf("pongs are counted as late answers")
			}
		})
	})
	t.Run("a silent peer is noticed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			connA, connB := net.Pipe()
			go func() { // reads all, says nothing
				buf := make([]byte, 1024)
				for {
					if _, err := connB.Read(buf); err != nil {
						return
					}
				}
			}()
			begin := time.Now()
			a := serve(t, connA, Principal{}, Config{PingInterval: time.Second, PingTimeout: 2 * time.Second})
			_, err := a.Call(t.Context(), "N", nil, nil)
			if !errors.Is(err, ErrPeerSilent) || !errors.Is(err, api.ErrOutcomeUnknown) {
				t.Errorf("the call ended with %v", err)
			}
			if took := time.Since(begin); took < 3*time.Second || took > 5*time.Second {
				t.Errorf("noticed after %v, want about 3 s", took)
			}
			connB.Close()
		})
	})
	t.Run("a busy connection is not pinged", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			connA, connB := net.Pipe()
			a := serve(t, connA, Principal{}, Config{})
			b := serve(t, connB, Principal{}, Config{Handler: echo, Counters: new(Counters)})
			for range 100 {
				if _, err := a.Call(t.Context(), "Echo", nil, nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(400 * time.Millisecond)
			}
			if in := b.cfg.Counters.FramesIn.Load(); in != 100 {
				t.Errorf("%d frames for 100 calls", in)
			}
		})
	})
}
