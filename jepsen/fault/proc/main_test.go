package proc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// TestMain lets the test binary play the victim as well.
func TestMain(m *testing.M) {
	if part := os.Getenv("PROC_VICTIM"); part != "" {
		if err := play(part); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// play does what each line of standard input asks for, and answers with a line.
func play(part string) error {
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("up")
	var held [][]byte
	for in.Scan() {
		order, argument, _ := strings.Cut(in.Text(), " ")
		switch order {
		case "work": // some processor time
			began := time.Now()
			for used := cpuTime(); cpuTime()-used < 30*time.Millisecond; {
			}
			fmt.Println(time.Since(began))
		case "take": // MiB of memory
			n, err := strconv.Atoi(argument)
			if err != nil {
				return err
			}
			for range n {
				block := make([]byte, 1<<20)
				for i := 0; i < len(block); i += 4096 {
					block[i] = 1
				}
				held = append(held, block)
			}
			fmt.Println(len(held))
		case "open": // files until it fails, or that many
			n, err := strconv.Atoi(argument)
			if err != nil {
				return err
			}
			var files []*os.File
			err = nil
			for len(files) < n && err == nil {
				var f *os.File
				if f, err = os.Open(os.DevNull); err == nil {
					files = append(files, f)
				}
			}
			for _, f := range files {
				f.Close()
			}
			fmt.Println(len(files), err)
		case "write": // and sync 128 KiB
			began := time.Now()
			if err := writeSynced(argument); err != nil {
				return err
			}
			fmt.Println(time.Since(began))
		default:
			return fmt.Errorf("%s: unknown order %q", part, order)
		}
	}
	return in.Err()
}

func cpuTime() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func writeSynced(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for range 4 {
		if _, err := f.Write(make([]byte, 32<<10)); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// victim is a child process and its breaker.
type victim struct {
	*Proc
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Writer
	lines *bufio.Reader
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "PROC_VICTIM=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := New(cmd.Process.Pid, Options{DataPath: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{Proc: p, t: t, cmd: cmd, stdin: stdin, lines: bufio.NewReader(stdout)}
	t.Cleanup(func() {
		dirs := v.dirs()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // again, where the test waited
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}
		for _, dir := range dirs {
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left behind: %v", dir, err)
			}
		}
	})
	v.hears("up")
	return v
}

// dirs are the directories of the victim's groups.
func (v *victim) dirs() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var dirs []string
	for _, g := range v.groups {
		dirs = append(dirs, g.dir)
	}
	return dirs
}

func (v *victim) ask(order string) string {
	v.t.Helper()
	if _, err := fmt.Fprintln(v.stdin, order); err != nil {
		v.t.Fatal(err)
	}
	line, err := v.lines.ReadString('\n')
	if err != nil {
		v.t.Fatalf("%s: %v", order, err)
	}
	return strings.TrimSpace(line)
}

func (v *victim) hears(want string) {
	v.t.Helper()
	if line, err := v.lines.ReadString('\n'); err != nil || strings.TrimSpace(line) != want {
		v.t.Fatalf("the victim says %q, %v, want %q", line, err, want)
	}
}

func (v *victim) takes(order string) time.Duration {
	v.t.Helper()
	d, err := time.ParseDuration(v.ask(order))
	if err != nil {
		v.t.Fatal(err)
	}
	return d
}

// did fails the test for an error, and skips it, loudly, where the machine cannot do it.
func did(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	ci, perr := strconv.ParseBool(os.Getenv("CI"))
	if !errors.Is(err, fault.ErrUnsupported) || (perr == nil && ci) || os.Getenv("ZERO_CHAOS_TIER") == fault.TierA.String() {
		t.Fatal(err)
	}
	t.Skipf("NOT TESTED: %v", err)
}

// deadPID is the number of a process that was and is no more.
func deadPID(t *testing.T) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func mustWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func killedBy(cmd *exec.Cmd) syscall.Signal {
	_ = cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return ws.Signal()
	}
	return 0
}
