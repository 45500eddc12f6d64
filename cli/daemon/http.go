package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds of the HTTP port. It serves people and monitors, not load.
const (
	httpConns        = 256
	httpHeaderBytes  = 16 << 10
	httpHeaderTime   = 5 * time.Second
	httpReadTime     = 30 * time.Second
	httpWriteTime    = 3 * time.Minute // a CPU profile takes its time
	httpIdleTime     = time.Minute
	httpShutdownTime = 2 * time.Second
	metricsInFlight  = 4
	metricsTime      = 10 * time.Second
)

// httpServer is the HTTP port. A nil one is no port.
type httpServer struct {
	server *http.Server
	addr   string
	done   sync.WaitGroup
}

// openHTTP binds the address and serves the handler until close. An empty
// address is no port.
func openHTTP(ctx context.Context, address string, handler http.Handler, log hclog.Logger) (*httpServer, error) {
	if address == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open the HTTP port (--http): %w", err)
	}
	h := &httpServer{addr: ln.Addr().String(), server: &http.Server{
		Handler: handler, MaxHeaderBytes: httpHeaderBytes, ReadHeaderTimeout: httpHeaderTime,
		ReadTimeout: httpReadTime, WriteTimeout: httpWriteTime, IdleTimeout: httpIdleTime,
		ErrorLog: log.Named("http").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}}
	h.done.Go(func() {
		if err := h.server.Serve(newLimited(ln, httpConns)); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the HTTP port stopped", "error", err)
		}
	})
	return h, nil
}

// close ends the port: requests that run have httpShutdownTime to end.
func (h *httpServer) close() {
	if h == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), httpShutdownTime)
	defer cancel()
	if err := h.server.Shutdown(ctx); err != nil {
		h.server.Close()
	}
	h.done.Wait()
}

// kill ends the port without waiting for anything.
func (h *httpServer) kill() {
	if h != nil {
		h.server.Close()
	}
}

// frameMux has the handlers that every daemon serves.
func frameMux(log hclog.Logger, h *health, registry *prometheus.Registry, profiles bool) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/livez", h.handler(true))
	mux.Handle("/readyz", h.handler(false))
	mux.Handle("/loglevel", levelHandler(log))
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		Registry: registry, MaxRequestsInFlight: metricsInFlight, Timeout: metricsTime,
		ErrorLog: log.Named("metrics").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Warn}),
	}))
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(ThisBuild()); err != nil {
			log.Debug("write the version", "error", err)
		}
	})
	if profiles {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// choose serves a request by the daemon's mux or the frame's: the longer
// pattern wins, and the daemon's between equals.
func choose(daemon, frame *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, ours := frame.Handler(r)
		_, theirs := daemon.Handler(r)
		if ours != "" && len(pathOf(theirs)) < len(pathOf(ours)) {
			frame.ServeHTTP(w, r)
			return
		}
		daemon.ServeHTTP(w, r)
	})
}

// pathOf is a pattern without its method.
func pathOf(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return path
	}
	return pattern
}

// limited is a listener with a bound on the connections that are open.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newLimited(ln net.Listener, n int) *limited {
	return &limited{Listener: ln, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn gives its slot back when it is closed.
type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}
