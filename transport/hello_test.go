package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// welcome accepts every Hello with token "secret", as member k1.
func welcome(_ context.Context, caller wire.Principal, req *wire.Request) (wire.Principal, *wire.Response, error) {
	if req.Meta.Get(api.MetaToken) != "secret" {
		return caller, nil, api.Errorf(api.Unauthenticated, "no valid token")
	}
	caller.Auth = "token"
	return caller, &wire.Response{Data: []byte(`{"version":1,"memberId":"k1","leader":{"id":"k1","address":"","term":3}}`)}, nil
}

// whoami answers who asks.
func whoami(ctx context.Context, req *wire.Request) (*wire.Response, error) {
	p := wire.PrincipalFrom(ctx)
	secured := "plain"
	if p.TLS != nil && p.TLS.HandshakeComplete {
		secured = "tls"
	}
	return &wire.Response{Data: []byte(req.Name + " from " + p.Role + "/" + p.ID + "/" + p.Auth + "/" + p.Hello.Cluster + "/" + secured)}, nil
}

func invokeFrame(t testing.TB, m *wire.Message) []byte {
	t.Helper()
	payload, err := wire.AppendMessage(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	frame, err := wire.AppendFrame(nil, wire.OpInvoke, wire.RandomMask(), payload)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestFirstRequestMustBeHello(t *testing.T) {
	s, address := startServer(t, ServerConfig{Hello: welcome, Invoker: wire.Config{Handler: whoami}})
	hello := func(body string, meta ...wire.Pair) wire.Message {
		return wire.Message{Kind: wire.KindRequest, ID: 9, Name: api.Hello, Meta: meta, Body: []byte(body)}
	}
	token := wire.Pair{Key: api.MetaToken, Value: "secret"}
	for _, test := range []struct {
		name string
		m    wire.Message
		want api.Code // 0: closed without an answer
	}{
		{"another request", wire.Message{Kind: wire.KindRequest, ID: 9, Name: api.ConfigFetch}, api.BadRequest},
		{"one-way", wire.Message{Kind: wire.KindOneWay, Name: api.Hello}, 0},
		{"response", wire.Message{Kind: wire.KindResponse, ID: 9}, 0},
		{"no body", hello(""), api.BadRequest},
		{"no version", hello(`{"role":"proxy","id":"p1"}`, token), api.BadRequest},
		{"later version", hello(`{"version":2}`, token), api.BadRequest},
		{"no token", hello(`{"version":1}`), api.Unauthenticated},
		{"unknown connection type", hello(`{"version":1}`, token, wire.Pair{Key: api.MetaConnectionType, Value: "x"}), api.BadRequest},
		{"stream where none is served", hello(`{"version":1}`, token, wire.Pair{Key: api.MetaConnectionType, Value: "listen"}), api.BadRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := dialTo(t, address)
			// More behind it must not destroy the answer.
			write(t, conn, append(invokeFrame(t, &test.m), invokeFrame(t, &test.m)...))
			if test.want != 0 {
				_, payload, err := wire.ReadFrame(conn, nil)
				if err != nil {
					t.Fatal(err)
				}
				if m, err := wire.DecodeMessage(payload); err != nil || m.Kind != wire.KindResponse || m.ID != 9 || m.Code != test.want {
					t.Errorf("%+v, %v; want code %d", m, err, test.want)
				}
				conn.(*net.TCPConn).CloseWrite()
			}
			wantClosed(t, conn)
		})
	}
	t.Run("malformed", func(t *testing.T) {
		conn := dialTo(t, address)
		frame, err := wire.AppendFrame(nil, wire.OpInvoke, wire.RandomMask(), []byte{1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 7})
		if err != nil {
			t.Fatal(err)
		}
		write(t, conn, frame)
		_, payload, err := wire.ReadFrame(conn, nil)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := wire.DecodeMessage(payload); err != nil || m.Code != api.BadRequest || m.ID != 9 {
			t.Errorf("%+v, %v", m, err)
		}
	})
	if n := s.Counters.HelloRefused.Load(); n != 8 {
		t.Errorf("%d refused, want 8", n)
	}
}

func testClient(t testing.TB, cfg ClientConfig) *Client {
	t.Helper()
	if cfg.Token == nil {
		cfg.Token = func() (string, error) { return "secret", nil }
	}
	if cfg.Hello.Role == "" {
		cfg.Hello = api.HelloRequest{Role: api.RoleProxy, ID: "p1", Cluster: "c"}
	}
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestThroughMuxAndTLS goes all the way: port mux, TLS, Hello with a token, calls
// both ways over the route of the connection.
func TestThroughMuxAndTLS(t *testing.T) {
	serverTLS, clientTLS := certificates(t)
	serverTLS.ClientAuth = tls.RequireAndVerifyClientCert
	l := listen(t)
	mux, err := NewMux(l, MuxConfig{TLS: serverTLS, RequireTLS: true})
	if err != nil {
		t.Fatal(err)
	}
	frames := mux.Match(PrefixFrames)
	var route wire.InvokeRoute
	closed := make(chan error, 1)
	server, err := NewServer(ServerConfig{
		Hello:     welcome,
		Invoker:   wire.Config{Handler: whoami},
		OnConnect: func(inv *wire.Invoker) { route.Register(inv.Principal().ID, inv) },
		OnClose: func(inv *wire.Invoker, reason error) {
			route.Remove(inv.Principal().ID, inv)
			closed <- reason
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	background(t, func(ctx context.Context) error { return server.Serve(ctx, frames) })
	background(t, mux.Serve)

	client := testClient(t, ClientConfig{
		Endpoints: []string{l.Addr().String()}, TLS: clientTLS,
		Handler: func(_ context.Context, req *wire.Request) (*wire.Response, error) {
			return &wire.Response{Data: append([]byte("back: "), req.Body...)}, nil
		},
	})
	resp, err := client.Call(t.Context(), "Who", nil, nil)
	if err != nil || string(resp.Data) != "Who from proxy/p1/token/c/tls" {
		t.Fatalf("%+v, %v", resp, err)
	}
	if resp, err := route.Call(t.Context(), "p1", "Push", nil, []byte("x")); err != nil || string(resp.Data) != "back: x" {
		t.Errorf("%+v, %v", resp, err)
	}
	if hint := client.Leader(); hint.ID != "k1" || hint.Term != 3 || hint.Address != l.Addr().String() {
		t.Errorf("the leader is %+v", hint)
	}
	client.Close()
	if reason := <-closed; reason != io.EOF {
		t.Errorf("OnClose was told %v", reason)
	}
	if len(route.IDs()) != 0 {
		t.Error("still on the route")
	}
}

func TestStream(t *testing.T) {
	streams := func(_ context.Context, conn net.Conn, p wire.Principal) {
		inner, unread := Unwrap(conn)
		b, err := io.ReadAll(inner)
		if err != nil {
			t.Error(err)
		}
		if _, err := inner.Write([]byte(p.ConnectionType + ":" + string(unread) + string(b))); err != nil {
			t.Error(err)
		}
	}
	_, address := startServer(t, ServerConfig{Hello: welcome, Stream: streams})
	client := testClient(t, ClientConfig{Endpoints: []string{address}})
	for _, kind := range []string{wire.ConnectionListen, wire.ConnectionTarget} {
		conn, err := client.Stream(t.Context(), address, kind, wire.Meta{{Key: api.MetaTerminalID, Value: "c1"}})
		if err != nil {
			t.Fatal(err)
		}
		write(t, conn, []byte("raw bytes"))
		if err := closeWrite(conn); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != kind+":raw bytes" {
			t.Errorf("%q, %v", got, err)
		}
		conn.Close()
	}
}

func TestShutdownLetsRequestsEnd(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	handler := func(ctx context.Context, _ *wire.Request) (*wire.Response, error) {
		close(begun)
		<-release
		return &wire.Response{Data: []byte("done")}, nil
	}
	l := listen(t)
	server, err := NewServer(ServerConfig{Hello: welcome, Agent: new(sections), Invoker: wire.Config{Handler: handler}})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	client := testClient(t, ClientConfig{Endpoints: []string{l.Addr().String()}})
	answer := make(chan error, 1)
	go func() {
		resp, err := client.Call(context.Background(), "Wait", nil, nil)
		if err == nil && string(resp.Data) != "done" {
			err = errors.New("another answer")
		}
		answer <- err
	}()
	idle := dialTo(t, l.Addr().String())
	<-begun
	eventually(t, "both are open", func() bool { return server.Counters.Open.Load() == 2 })
	down := make(chan error, 1)
	go func() { down <- server.Shutdown(context.Background()) }()
	wantClosed(t, idle)
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
	close(release)
	for what, ch := range map[string]chan error{"request": answer, "Shutdown": down, "Serve": served} {
		if err := <-ch; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := server.Serve(t.Context(), listen(t)); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

func TestShutdownIsBounded(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	relay := func(ctx context.Context, _ net.Conn, _ wire.TrafficRequest) {
		close(begun)
		<-ctx.Done()
		close(ended)
	}
	_, frames := loadGolden(t)
	l := listen(t)
	server, err := NewServer(ServerConfig{Traffic: relay})
	if err != nil {
		t.Fatal(err)
	}
	background(t, func(context.Context) error { return server.Serve(context.Background(), l) })
	conn := dialTo(t, l.Addr().String())
	write(t, conn, frames["traffic_proxy_request_github"])
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	<-ended
}
