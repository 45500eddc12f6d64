package daemon

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestHTTPPort(t *testing.T) {
	w, started := newWorld(), make(chan *Env, 1)
	w.start(testApp(started), "--pprof")
	env := receive(t, started)
	failing := errors.New("no leader")
	env.AddCheck(Check{Name: "leader", Run: func(context.Context) error { return failing }})
	env.AddCheck(Check{Name: "disk", Live: true, Run: func(context.Context) error { return nil }})
	env.HTTP.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("console")) })
	env.HTTP.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ours")) })
	env.HTTP.HandleFunc("/metrics/extra", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("extra")) })
	env.Ready(true)
	url := "http://" + env.HTTPAddr
	for _, test := range []struct {
		name, method, path string
		code               int
		say                string
	}{
		{"live", "GET", "/livez?verbose", 200, "[+] disk ok\nok\n"},
		{"a failed check is listed", "GET", "/readyz", 503, "[+] started ok\n[!] leader: no leader\n[+] disk ok\n"},
		{"excluded", "GET", "/readyz?exclude=leader&verbose", 200, "[-] leader excluded\n[+] disk ok\nok\n"},
		{"metrics", "GET", "/metrics", 200, "zero_build_info{"},
		{"a check's gauge", "GET", "/metrics", 200, `zero_daemon_check_ok{check="leader"} 0`},
		{"profiles", "GET", "/debug/pprof/cmdline", 200, ""},
		{"daemon's handler between equals", "GET", "/version", 200, "ours"},
		{"daemon's longer pattern", "GET", "/metrics/extra", 200, "extra"},
		{"daemon's catch-all", "GET", "/anything", 200, "console"},
		{"level", "GET", "/loglevel", 200, "info\n"},
		{"bad level", "PUT", "/loglevel?level=loud", 400, "want trace, debug"},
		{"method", "POST", "/loglevel?level=debug", 405, ""},
		{"new level", "PUT", "/loglevel?level=debug", 200, "debug\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, body := request(t, test.method, url+test.path)
			if code != test.code || !strings.Contains(body, test.say) {
				t.Errorf("%d %q, want %d with %q", code, body, test.code, test.say)
			}
		})
	}
	if got := env.Log.Named("part").GetLevel(); got != hclog.Debug {
		t.Errorf("the level is %v", got)
	}
	w.signals <- syscall.SIGTERM
	w.exit(t, ExitOK)
}

func TestNoProfilesUnasked(t *testing.T) {
	w, started := newWorld(), make(chan *Env, 1)
	w.start(testApp(started))
	env := receive(t, started)
	if code, _ := request(t, "GET", "http://"+env.HTTPAddr+"/debug/pprof/"); code != 404 {
		t.Errorf("profiles without --pprof: %d", code)
	}
	w.signals <- syscall.SIGINT
	w.exit(t, ExitOK)
}

func TestLevelIsSetFromThisHostOnly(t *testing.T) {
	log := hclog.NewNullLogger()
	for _, test := range []struct {
		from string
		want int
	}{{"127.0.0.1:5", 200}, {"[::1]:5", 200}, {"192.0.2.1:5", 403}, {"[2001:db8::1]:5", 403}, {"nonsense", 403}} {
		r := httptest.NewRequest("PUT", "/loglevel?level=debug", nil)
		r.RemoteAddr = test.from
		w := httptest.NewRecorder()
		levelHandler(log).ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("from %s: %d, want %d", test.from, w.Code, test.want)
		}
	}
}

// TestConnectionsAreBounded holds one more connection than the bound open: it
// is served when another one ends.
func TestConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := newLimited(inner, 1)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	for range 2 {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	first := receive(t, accepted)
	select {
	case <-accepted:
		t.Fatal("a connection above the bound was accepted")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	receive(t, accepted).Close()
	ln.Close()
	for range accepted {
		t.Error("accepted after Close")
	}
}

// Requests that come at once share one run of a check, and one that hangs is
// one goroutine.
func TestHangingCheckIsOneGoroutine(t *testing.T) {
	release := make(chan struct{})
	var runs atomic.Int32
	p := &probe{Check: Check{Name: "slow", Run: func(context.Context) error {
		runs.Add(1)
		<-release
		return nil
	}}}
	first := p.start()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		if err := p.run(ctx); err == nil {
			t.Error("a check that hangs passed")
		}
	}
	close(release)
	<-first.done
	if n := runs.Load(); n != 1 {
		t.Errorf("%d runs", n)
	}
}
