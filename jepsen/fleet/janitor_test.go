package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestNothingIsLeftBehind lets a program that uses a fleet die in every way there is, and looks for its processes and files.
func TestNothingIsLeftBehind(t *testing.T) {
	tests := []struct {
		name string
		how  string
		sig  syscall.Signal
		keep bool
	}{
		{name: "panic", how: "panic"},
		{name: "os.Exit", how: "exit"},
		{name: "SIGINT", how: "signal", sig: syscall.SIGINT},
		{name: "SIGTERM", how: "signal", sig: syscall.SIGTERM},
		{name: "SIGKILL", how: "signal", sig: syscall.SIGKILL},
		{name: "KEEP=1", how: "signal", sig: syscall.SIGKILL, keep: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(limited(t), os.Args[0])
			cmd.Env = append(os.Environ(), "FLEET_DEATH="+tt.how, "FLEET_TEMP="+t.TempDir(), "KEEP="+fmt.Sprint(tt.keep))
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait() // again, where the test got so far
			})
			var dir string
			var parent, child int
			if _, err := fmt.Fscan(stdout, &dir, &parent, &child); err != nil {
				t.Fatalf("the program did not say where its fleet is: %v", err)
			}
			if _, err := os.Stat(dir); err != nil {
				t.Fatal(err)
			}
			for _, pid := range []int{parent, child} {
				if _, err := processState(pid); err != nil {
					t.Fatal(err)
				}
			}
			if tt.sig != 0 {
				if err := cmd.Process.Signal(tt.sig); err != nil {
					t.Fatal(err)
				}
			} else if err := stdin.Close(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Fatal("the program did not die")
			}
			gone(t, parent)
			gone(t, child)
			if tt.keep {
				if _, err := os.Stat(dir); err != nil {
					t.Errorf("KEEP=1 and the directory is gone: %v", err)
				}
				return
			}
			err = Eventually(limited(t), time.Millisecond, func(context.Context) error {
				if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
					return fmt.Errorf("the directory is there: %v", err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestJanitorForgetsWhatHasEnded(t *testing.T) {
	s := newSpawner()
	defer s.stop()
	sleeper := func() *exec.Cmd {
		cmd := exec.CommandContext(limited(t), "sleep", "1000")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err := s.start(cmd, ""); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	listed, forgotten := sleeper(), sleeper()
	defer func() {
		_ = forgotten.Process.Kill()
		_ = forgotten.Wait()
	}()
	dir := t.TempDir()
	j, err := startJanitor(s, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{j.began(forgotten.Process.Pid), j.began(listed.Process.Pid), j.ended(forgotten.Process.Pid)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// The pipe's end without a dismissal is what the janitor sees of its program's death.
	if err := j.pipe.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.cmd.Wait(); err != nil {
		t.Errorf("janitor: %v", err)
	}
	_ = listed.Wait()
	if ws, ok := listed.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Errorf("the listed group ended with %v, want SIGKILL", listed.ProcessState)
	}
	if state, err := processState(forgotten.Process.Pid); err != nil || state == 'Z' {
		t.Errorf("the janitor ended a group that it had been told to forget: %c %v", state, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}
}
