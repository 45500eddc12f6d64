package hook

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKeeper is a keeper that runs a hook, for TestProgramEndsWithItsKeeper.
func TestKeeper(t *testing.T) {
	dir := os.Getenv("ZERO_TEST_HOOK_DIR")
	if dir == "" {
		t.Skip("it is run by TestProgramEndsWithItsKeeper")
	}
	s := Spec{Name: "hangs", Program: []string{"/bin/sh", "-c", `echo $$ > "$0/pid.new"; mv "$0/pid.new" "$0/pid"; exec sleep 300`, dir}, Timeout: MaxTimeout}
	_, err := s.Run(t.Context(), event)
	t.Error("the program ended: ", err)
}

// A keeper that is killed cannot end its programs when their time is over.
func TestProgramEndsWithItsKeeper(t *testing.T) {
	dir := t.TempDir()
	keeper := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKeeper$")
	keeper.Env = append(os.Environ(), "ZERO_TEST_HOOK_DIR="+dir)
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	wait := func(what string, cond func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain: %s", what)
			}
		}
	}
	pid := 0
	wait("the program runs", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil
	})
	if err := keeper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = keeper.Wait() // it was killed
	wait("the program is gone", func() bool { return !runs(pid) })
}

// runs reports whether a process is there, and no zombie that nobody has waited for yet.
func runs(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && syscall.Kill(pid, 0) == nil && !strings.Contains(string(stat), ") Z ")
}
