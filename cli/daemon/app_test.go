package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/zerokeeper/zero/cli/daemon/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer is an output that several goroutines may use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// world is a daemon under test.
type world struct {
	out, err buffer
	signals  chan os.Signal
	env      map[string]string
	code     chan int
}

func newWorld() *world {
	return &world{signals: make(chan os.Signal, 8), env: map[string]string{}, code: make(chan int, 1)}
}

func (w *world) process(args ...string) process {
	return process{args: args, out: &w.out, err: &w.err, signals: w.signals, getenv: func(key string) (string, bool) {
		text, ok := w.env[key]
		return text, ok
	}}
}

// start runs the app in the background.
func (w *world) start(app App, args ...string) {
	go func() { w.code <- execute(app, w.process(args...)) }()
}

// exit waits for the exit code.
func (w *world) exit(t *testing.T, want int) {
	t.Helper()
	select {
	case code := <-w.code:
		if code != want {
			t.Errorf("exit %d, want %d\n%s", code, want, w.err.String())
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("the daemon does not exit\n%s", w.err.String())
	}
}

// app is a daemon that reports its Env and runs until it is told to stop.
func testApp(started chan<- *Env) App {
	return App{Name: "zerotest", Short: "A test", HTTP: "127.0.0.1:0", Run: func(ctx context.Context, env *Env) error {
		started <- env
		<-ctx.Done()
		return nil
	}}
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// request sends one request on a connection of its own.
func request(t *testing.T, method, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// manager is a service manager's socket.
func manager(t *testing.T) (string, <-chan string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	messages := make(chan string, 8)
	var done sync.WaitGroup
	done.Go(func() {
		defer close(messages)
		for {
			var p [256]byte
			n, err := conn.Read(p[:])
			if err != nil {
				return
			}
			messages <- string(p[:n])
		}
	})
	t.Cleanup(func() { conn.Close(); done.Wait() })
	return path, messages
}

func TestLife(t *testing.T) {
	w, started := newWorld(), make(chan *Env, 1)
	socket, messages := manager(t)
	w.env["NOTIFY_SOCKET"] = socket
	w.start(testApp(started))
	env := receive(t, started)
	url := "http://" + env.HTTPAddr
	if code, body := request(t, "GET", url+"/livez"); code != 200 || body != "ok\n" {
		t.Errorf("/livez before ready: %d %q", code, body)
	}
	if code, body := request(t, "GET", url+"/readyz"); code != 503 || !strings.Contains(body, "[!] started: starting") {
		t.Errorf("/readyz before ready: %d %q", code, body)
	}
	env.Ready(true)
	if got := receive(t, messages); got != "READY=1" {
		t.Errorf("the service manager was told %q", got)
	}
	if code, _ := request(t, "GET", url+"/readyz"); code != 200 {
		t.Errorf("/readyz: %d", code)
	}
	env.Ready(false)
	if code, _ := request(t, "GET", url+"/readyz"); code != 503 {
		t.Errorf("/readyz after Ready(false): %d", code)
	}
	env.Ready(true)
	w.signals <- syscall.SIGTERM
	if got := receive(t, messages); got != "STOPPING=1" {
		t.Errorf("the service manager was told %q, READY=1 is sent once", got)
	}
	w.exit(t, ExitOK)
}

func TestExitCodes(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	noWait := func(err error) func(context.Context, *Env) error {
		return func(context.Context, *Env) error { return err }
	}
	stuck := func(_ context.Context, env *Env) error { env.Ready(true); <-block; return nil }
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, test := range []struct {
		name    string
		run     func(context.Context, *Env) error
		args    []string
		signals []os.Signal
		want    int
		say     string
	}{
		{"failed", noWait(errors.New("disk on fire")), nil, nil, 1, "disk on fire"},
		{"ended by itself", noWait(nil), nil, nil, 1, "without being told"},
		{"no restart", noWait(fmt.Errorf("open data: %w", ErrNoRestart)), nil, nil, 78, "open data"},
		{"second signal", stuck, nil, []os.Signal{syscall.SIGTERM, syscall.SIGINT}, 130, "second signal"},
		{"stop takes too long", stuck, []string{"--shutdown-timeout", "10ms"}, []os.Signal{syscall.SIGTERM}, 1, "took too long"},
		{"address in use", noWait(nil), []string{"--http", busy.Addr().String()}, nil, 1, "--http"},
		{"unknown flag", noWait(nil), []string{"--nonsense"}, nil, 64, "unknown flag"},
		{"unknown command", noWait(nil), []string{"nonsense"}, nil, 64, "nonsense"},
		{"bad level", noWait(nil), []string{"--log-level", "loud"}, nil, 64, "--log-level"},
		{"refused by the daemon", noWait(nil), []string{"--expect", "2"}, nil, 64, "want 3"},
		{"no time to stop", noWait(nil), []string{"--shutdown-timeout", "0"}, nil, 64, "above 0"},
		{"help", noWait(nil), []string{"--help"}, nil, 0, ""},
		{"version", noWait(nil), []string{"--version"}, nil, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, expect := newWorld(), 3
			for _, sig := range test.signals {
				w.signals <- sig
			}
			app := App{Name: "zerotest", Short: "A test", HTTP: "", Run: test.run,
				Flags: []settings.Flag{{Name: "expect", Value: &expect, Usage: "how many"}},
				Validate: func() error {
					if expect != 3 {
						return fmt.Errorf("--expect %d: want 3", expect)
					}
					return nil
				}}
			w.start(app, test.args...)
			w.exit(t, test.want)
			if !strings.Contains(w.err.String(), test.say) {
				t.Errorf("%q is not in: %s", test.say, w.err.String())
			}
		})
	}
}

func TestSettingsReachTheDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zerotest.yaml")
	if err := os.WriteFile(path, []byte("expect: 5\nlog-json: true\nhttp: \"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, expect, seen := newWorld(), 3, 0
	w.env["ZERO_CONFIG"] = path
	w.start(App{Name: "zerotest", Short: "A test", HTTP: "127.0.0.1:0",
		Flags: []settings.Flag{{Name: "expect", Value: &expect, Usage: "how many"}},
		Run: func(_ context.Context, env *Env) error {
			if env.HTTPAddr != "" {
				t.Error("there is an HTTP port")
			}
			seen = expect
			return errors.New("enough")
		}})
	w.exit(t, ExitFailed)
	if seen != 5 {
		t.Errorf("expect is %d in the daemon", seen)
	}
	for line := range strings.Lines(w.err.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("--log-json printed %q", line)
		}
	}
	if err := os.WriteFile(path, []byte("expct: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w = newWorld()
	w.env["ZERO_CONFIG"] = path
	w.start(testApp(nil))
	w.exit(t, ExitUsage)
	if got := w.err.String(); !strings.Contains(got, "line 1") || !strings.Contains(got, "expct") {
		t.Errorf("an unknown key: %s", got)
	}
}

func TestSignalsChangeTheLevel(t *testing.T) {
	w, started := newWorld(), make(chan *Env, 1)
	w.start(testApp(started), "--log-level", "debug")
	env := receive(t, started)
	named := env.Log.Named("part")
	for _, test := range []struct {
		sig  os.Signal
		want hclog.Level
	}{{syscall.SIGUSR1, hclog.Trace}, {syscall.SIGUSR1, hclog.Trace}, {syscall.SIGUSR2, hclog.Debug}, {syscall.SIGUSR2, hclog.Info}} {
		w.signals <- test.sig
		deadline := time.Now().Add(5 * time.Second)
		for (named.GetLevel() != test.want || len(w.signals) > 0) && time.Now().Before(deadline) {
			request(t, "GET", "http://"+env.HTTPAddr+"/livez")
		}
		if got := named.GetLevel(); got != test.want {
			t.Errorf("after %v the level is %v, want %v", test.sig, got, test.want)
		}
	}
	w.signals <- syscall.SIGTERM
	w.exit(t, ExitOK)
}

func TestCommands(t *testing.T) {
	for _, test := range []struct {
		args []string
		say  string
	}{
		{[]string{"version"}, "zerotest dev"},
		{[]string{"--version"}, "zerotest dev"},
		{[]string{"version", "--json"}, `"version":"dev"`},
		{[]string{"settings", "show", "--log-level", "warn"}, "flag         warn"},
		{[]string{"settings", "example"}, "#log-level: info"},
		{[]string{"settings", "reference"}, "| `--log-level` | `ZERO_LOG_LEVEL` | `info` |"},
		{[]string{"completion", "bash"}, "zerotest"},
	} {
		w := newWorld()
		w.start(testApp(nil), test.args...)
		w.exit(t, ExitOK)
		if !strings.Contains(w.out.String(), test.say) {
			t.Errorf("%v: %q is not in: %s", test.args, test.say, w.out.String())
		}
	}
}
