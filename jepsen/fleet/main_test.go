package fleet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the test binary play two more parts: under the name of one of zero's programs, a daemon that only answers
// probes (so that the command lines can be tested before and without the programs), and with FLEET_DEATH set, a program
// that uses a fleet and dies.
func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); slices.Contains(Programs, name) {
		os.Exit(actDaemon(name, os.Args[1:]))
	}
	if how := os.Getenv("FLEET_DEATH"); how != "" {
		actDying(how)
	}
	os.Unsetenv("KEEP") // meant for fleets that somebody wants to look at, not for those of these tests
	goleak.VerifyTestMain(m)
}

// actDaemon answers /readyz, /leaderz (k1 leads) and /args until SIGTERM. As zeroctl it prints its arguments, its standard
// input on standard error, and ends with 4.
func actDaemon(name string, args []string) int {
	if name == "zeroctl" {
		fmt.Println(strings.Join(args, " "))
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			fmt.Fprintln(os.Stderr, in.Text())
		}
		return 4
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	values := make(map[string]*string)
	for _, f := range []string{"name", "data", "listen", "http", "bootstrap-expect", "join", "keepers", "cluster", "mysql",
		"socket", "user", "password-ref", "replication-user", "replication-password-ref", "extra"} {
		values[f] = flags.String(f, "", "")
	}
	if err := flags.Parse(args); err != nil {
		return 64
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/leaderz", func(w http.ResponseWriter, _ *http.Request) {
		if *values["name"] != "k1" {
			http.Error(w, "k1 leads", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/args", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(values)
	})
	srv := &http.Server{Addr: *values["http"], Handler: mux, ReadHeaderTimeout: time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// actDying makes a fleet with a process and its child, says where, and dies without Close.
func actDying(how string) {
	f, err := New(Options{TempDir: os.Getenv("FLEET_TEMP")})
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	p, err := f.NewProc(ProcConfig{Name: "parent", Path: "sh", Args: []string{"-c", "sleep 1000 & echo child $!; wait"}})
	if err == nil {
		err = p.Start(context.Background())
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = Eventually(ctx, time.Millisecond, func(context.Context) error {
			if !strings.Contains(said(p), "child") {
				return errors.New("no child yet")
			}
			return nil
		})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	fmt.Println(f.Dir(), p.PID(), strings.TrimPrefix(said(p), "child "))
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the test has looked, or has killed this
	if how == "panic" {
		panic("the test wants it")
	}
	os.Exit(2)
}

// limited is a context that ends with the test, or after a time that only a hang takes on a busy machine.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// newTestFleet makes a fleet that the test itself closes, or that is killed quietly at its end.
func newTestFleet(t *testing.T) *Fleet {
	t.Helper()
	f, err := New(Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// shell starts a process that runs a script.
func shell(t *testing.T, f *Fleet, name, script string, change ...func(*ProcConfig)) *Proc {
	t.Helper()
	cfg := ProcConfig{Name: name, Path: "sh", Args: []string{"-c", script}}
	for _, c := range change {
		c(&cfg)
	}
	p, err := f.NewProc(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(limited(t)); err != nil {
		t.Fatal(err)
	}
	return p
}

// gone waits until no process has the id; a zombie counts as gone, for it is its parent's to bury.
func gone(t *testing.T, pid int) {
	t.Helper()
	err := Eventually(limited(t), time.Millisecond, func(context.Context) error {
		state, err := processState(pid)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || state == 'Z' || state == 'X' {
			return nil
		}
		return fmt.Errorf("process %d is there: state %c, %v", pid, state, err)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// said is what the runs of a process wrote, without the line that begins each run in the log.
func said(p *Proc) string {
	var lines []string
	for line := range strings.Lines(p.LogTail(1000)) {
		if !strings.HasPrefix(line, "--- ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// waitLog waits until the process has said text.
func waitLog(t *testing.T, p *Proc, text string) {
	t.Helper()
	err := Eventually(limited(t), time.Millisecond, func(context.Context) error {
		if log := said(p); !strings.Contains(log, text) {
			return fmt.Errorf("the log of %s does not say %q: %s", p.Name(), text, log)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
