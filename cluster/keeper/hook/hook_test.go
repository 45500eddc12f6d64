package hook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var event = Event{
	ID: "orders-7/7/promoting/after", Event: "promoting/after", Switch: "orders-7", Generation: 7, Step: "promoting", Group: "orders", Cluster: "shop", Kind: "failover",
	From: "a:1", To: "b:1", ToIndex: 1, Reason: "it's $(reboot) \x00;", RequestedBy: "detector", Keeper: "k1", Time: time.Unix(1, 0),
}

// script is a program of a test.
func script(t *testing.T, text string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook.sh")
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{"/bin/sh", path, "one arg"}
}

func TestProgramGetsTheEvent(t *testing.T) {
	t.Setenv("ZERO_TEST_SECRET", "hunter2")
	dir := t.TempDir()
	s := Spec{Name: "pager", Program: append(script(t, `env > "$2/env"; cat > "$2/body"; pwd; echo "$1"`), dir)}
	note, err := s.Run(t.Context(), event)
	if err != nil || note != "/ one arg" {
		t.Errorf("note %q, %v", note, err)
	}
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ZERO_SWITCH=orders-7\n", "ZERO_GENERATION=7\n", "ZERO_STEP=promoting\n", "ZERO_REASON=it's $(reboot) ;\n", "ZERO_TO=b:1\n", "ZERO_HOOK=pager\n"} {
		if !strings.Contains(string(env), want) {
			t.Errorf("%q is not in the environment:\n%s", want, env)
		}
	}
	if strings.Contains(string(env), "hunter2") || strings.Contains(string(env), "HOME=") {
		t.Errorf("the keeper's environment went along:\n%s", env)
	}
	body, err := os.ReadFile(filepath.Join(dir, "body"))
	if err != nil {
		t.Fatal(err)
	}
	var got Event
	if err := json.Unmarshal(body, &got); err != nil || got.ID != event.ID || got.Reason != event.Reason || got.Hook != "pager" {
		t.Errorf("%s: %v", body, err)
	}
}

func TestProgramThatFails(t *testing.T) {
	for _, test := range []struct {
		name, text, says string
	}{
		{"exit code", "echo no disk; exit 3", "exit status 3: no disk"},
		{"signal", "kill -9 $$", "signal: killed"},
	} {
		note, err := Spec{Name: "h", Program: script(t, test.text)}.Run(t.Context(), event)
		if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %q, %v", test.name, note, err)
		}
	}
	if _, err := (Spec{Name: "h", Program: []string{"/does/not/exist"}}).Run(t.Context(), event); !errors.Is(err, ErrFailed) {
		t.Errorf("a program that is not there: %v", err)
	}
}

// TestProgramThatHangs: it and its children are killed at the deadline.
func TestProgramThatHangs(t *testing.T) {
	dir := t.TempDir()
	s := Spec{Name: "h", Timeout: 300 * time.Millisecond, Program: append(script(t, `sleep 600 & echo $! > "$2/child"; echo begun; wait`), dir)}
	began := time.Now()
	_, err := s.Run(t.Context(), event)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "not over in time") || !strings.Contains(err.Error(), "begun") {
		t.Errorf("%v", err)
	}
	wantGone(t, filepath.Join(dir, "child"))
}

// wantGone waits until the process whose pid is in the file is gone.
func wantGone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-tick.C {
		state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(state), ") Z ") { // a zombie waits for init only
			return
		}
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Errorf("process %d is still there", pid)
}

// TestProgramThatLeavesAChild: who holds the output does not hold the keeper.
func TestProgramThatLeavesAChild(t *testing.T) {
	dir := t.TempDir()
	s := Spec{Name: "h", Timeout: 20 * time.Second, Program: append(script(t, `sleep 600 & echo $! > "$2/child"; echo done`), dir)}
	began := time.Now()
	note, err := s.Run(t.Context(), event)
	if took := time.Since(began); took > 15*time.Second || err != nil || note != "done" {
		t.Errorf("%q, %v, after %v", note, err, took)
	}
	wantGone(t, filepath.Join(dir, "child"))
}

func TestProgramThatFloods(t *testing.T) {
	note, err := Spec{Name: "h", Timeout: 20 * time.Second, Program: script(t, "head -c 3000000 /dev/zero | tr '\\0' 'x'; printf '\\033[2J'")}.Run(t.Context(), event)
	if err != nil || len(note) > maxOutput+50 || !strings.Contains(note, "bytes more") {
		t.Errorf("%d bytes: %.80q, %v", len(note), note, err)
	}
	_, err = Spec{Name: "h", Timeout: 300 * time.Millisecond, Program: script(t, "exec yes")}.Run(t.Context(), event)
	if !errors.Is(err, ErrFailed) || len(err.Error()) > maxOutput+200 {
		t.Errorf("without end: %v", err)
	}
}

func TestWebhook(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if got, want := r.Header.Get("X-Zero-Signature"), Signature("s3cret", body); r.Method != http.MethodPost || got != want {
			t.Errorf("%s, signature %q, want %q", r.Method, got, want)
		}
		if r.Header.Get("X-Zero-Id") != event.ID {
			t.Errorf("id %q", r.Header.Get("X-Zero-Id"))
		}
		_, _ = io.WriteString(w, "thanks\n")
	}))
	defer server.Close()
	s := Spec{Name: "dns", URL: server.URL + "/token-abc", Secret: func() (string, error) { return "s3cret", nil }}
	if note, err := s.Run(t.Context(), event); err != nil || note != "status 200: thanks" || calls.Load() != 1 {
		t.Errorf("%q, %v", note, err)
	}
	// The known value of the signature's scheme (RFC 4231, case 2).
	if got := Signature("Jefe", []byte("what do ya want for nothing?")); got != "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" {
		t.Error(got)
	}
}

func TestWebhookThatFails(t *testing.T) {
	var reached atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer other.Close()
	release := make(chan struct{})
	handlers := map[string]http.HandlerFunc{
		"/redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		},
		"/error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "on fire", http.StatusInternalServerError) },
		"/slow":  func(http.ResponseWriter, *http.Request) { <-release },
		"/drip":  func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); <-release },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handlers[r.URL.Path](w, r) }))
	defer server.Close()
	defer close(release)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, test := range []struct{ name, url, says string }{
		{"redirect", server.URL + "/redirect?key=hush", "redirects are not followed"},
		{"status", server.URL + "/error?key=hush", "status 500: on fire"},
		{"slow", server.URL + "/slow?key=hush", "deadline exceeded"},
		{"slow body", server.URL + "/drip?key=hush", "deadline exceeded"},
		{"down", gone.URL + "/?key=hush", "connection refused"},
	} {
		began := time.Now()
		_, err := Spec{Name: "h", URL: test.url, Timeout: 300 * time.Millisecond}.Run(t.Context(), event)
		if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.name, err)
		}
		if strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the URL is in the error: %v", test.name, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: it took %v", test.name, took)
		}
	}
	if reached.Load() != 0 {
		t.Error("a redirect was followed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Spec{Name: "h", URL: server.URL + "/slow"}).Run(ctx, event); !errors.Is(err, ErrFailed) {
		t.Errorf("given up: %v", err)
	}
}

func TestValidate(t *testing.T) {
	steps := []string{"stopping", "promoting"}
	good := Spec{Name: "pager", On: []string{"switch/before", "promoting/after"}, Program: []string{"/bin/true"}, Veto: true}
	if err := good.Validate(steps); err != nil {
		t.Error(err)
	}
	for _, test := range []struct {
		name   string
		change func(*Spec)
	}{
		{"no name", func(s *Spec) { s.Name = "" }},
		{"no event", func(s *Spec) { s.On = nil }},
		{"another event", func(s *Spec) { s.On = []string{"switch/during"} }},
		{"another step", func(s *Spec) { s.On = []string{"lunch/before"} }},
		{"nothing to run", func(s *Spec) { s.Program = nil }},
		{"both", func(s *Spec) { s.URL = "http://a" }},
		{"a relative path", func(s *Spec) { s.Program = []string{"true"} }},
		{"a scheme", func(s *Spec) { s.Program, s.URL = nil, "file:///etc/passwd" }},
		{"a user", func(s *Spec) { s.Program, s.URL = nil, "http://u:p@a/" }},
		{"too long", func(s *Spec) { s.Timeout = MaxTimeout + 1 }},
		{"a veto too late", func(s *Spec) { s.On = []string{"promoting/before"} }},
		{"a secret for a program", func(s *Spec) { s.Secret = func() (string, error) { return "", nil } }},
	} {
		s := good
		test.change(&s)
		if err := s.Validate(steps); err == nil {
			t.Errorf("%s: accepted", test.name)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
