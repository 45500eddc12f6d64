//go:build faultpoint

package faultpoint

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestMain is also the process that the tests kill and stop.
func TestMain(m *testing.M) {
	if name := os.Getenv("FAULTPOINT_TEST_REACH"); name != "" {
		Reach(name)
		Reach("test/passed")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// arm makes a directory in which the point a/b/c does that.
func arm(t *testing.T, act string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(dir, "arm", "a.b.c")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if act != "" {
		if err := os.WriteFile(file, []byte(act+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, file
}

func start(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ZERO_FAULTPOINT_DIR="+dir, "FAULTPOINT_TEST_REACH=a/b/c")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func reached(t *testing.T, dir, want string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, "reached"))
	if err != nil || string(got) != want {
		t.Errorf("reached %q, %v; want %q", got, err, want)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestNothingIsArmed(t *testing.T) {
	dir, _ := arm(t, "")
	if err := start(t, dir).Wait(); err != nil {
		t.Error(err)
	}
	reached(t, dir, "a/b/c\ntest/passed\n")
}

func TestKill(t *testing.T) {
	dir, file := arm(t, "kill")
	cmd := start(t, dir)
	_ = cmd.Wait() // its error is the signal
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
	if exists(file) {
		t.Error("it is still armed: the next process would be killed too")
	}
	reached(t, dir, "a/b/c\n")
}

func TestStop(t *testing.T) {
	dir, file := arm(t, "stop")
	cmd := start(t, dir)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it is not stopped: %v, %v", status, err)
	}
	reached(t, dir, "a/b/c\n")
	if exists(file) {
		t.Error("it is still armed")
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	reached(t, dir, "a/b/c\ntest/passed\n")
}

func TestWait(t *testing.T) {
	dir, file := arm(t, "wait")
	cmd := start(t, dir)
	at := filepath.Join(dir, "at", "a.b.c")
	eventually(t, "the point says that it was reached", func() bool { return exists(at) })
	reached(t, dir, "a/b/c\n")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	reached(t, dir, "a/b/c\ntest/passed\n")
	if exists(at) {
		t.Error("it is said to wait, and does not")
	}
}

func TestWithoutDirectory(t *testing.T) {
	t.Setenv("ZERO_FAULTPOINT_DIR", "")
	Reach("a/b/c")
}
