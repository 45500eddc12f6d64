//go:build faultpoint

package faultpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What an armed point does.
const (
	actKill = "kill"
	actStop = "stop"
	actWait = "wait"
)

const (
	longestWait = 30 * time.Second
	look        = 2 * time.Millisecond
)

var mu sync.Mutex // one point at a time is written down, and armed ones are taken once

// Reach is called at the point of that name.
func Reach(name string) {
	dir := os.Getenv("ZERO_FAULTPOINT_DIR")
	if dir == "" {
		return
	}
	file := strings.ReplaceAll(name, "/", ".")
	arm := filepath.Join(dir, "arm", file)
	act, err := take(dir, name, arm)
	if err != nil {
		complain(name, err)
	}
	switch act {
	case "":
	case actKill:
		signal(syscall.SIGKILL)
	case actStop:
		signal(syscall.SIGSTOP)
	case actWait:
		wait(filepath.Join(dir, "at", file), arm)
	default:
		complain(name, fmt.Errorf("it is armed to %q", act))
	}
}

// Armed reports whether something is to happen at one of these points, so that what
// is otherwise done in one go comes to them.
func Armed(names ...string) bool {
	dir := os.Getenv("ZERO_FAULTPOINT_DIR")
	if dir == "" {
		return false
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, "arm", strings.ReplaceAll(name, "/", "."))); err == nil {
			return true
		}
	}
	return false
}

// take notes that the point was reached and says what it is armed to do. What
// happens once is disarmed before it happens.
func take(dir, name, arm string) (string, error) {
	mu.Lock()
	defer mu.Unlock()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	reached, err := os.OpenFile(filepath.Join(dir, "reached"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	_, err = reached.WriteString(name + "\n")
	if err = errors.Join(err, reached.Close()); err != nil {
		return "", err
	}
	text, err := os.ReadFile(arm)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	act := strings.TrimSpace(string(text))
	if act == actKill || act == actStop {
		err = os.Remove(arm)
	}
	return act, err
}

// signal sends a signal to this very thread, so that it does not go on by a single
// step before the whole process has stopped or ended.
func signal(s syscall.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(syscall.Gettid()), uintptr(s)); errno != 0 {
		complain(s.String(), errno)
	}
}

// wait says that the point was reached, and waits until it is disarmed.
func wait(at, arm string) {
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, nil, 0o644)); err != nil {
		complain(at, err)
	}
	for end := time.Now().Add(longestWait); time.Now().Before(end); time.Sleep(look) {
		if _, err := os.Stat(arm); err != nil {
			break
		}
	}
	if err := os.Remove(at); err != nil {
		complain(at, err)
	}
}

func complain(what string, err error) {
	fmt.Fprintf(os.Stderr, "[ERROR] faultpoint: %s: %v\n", what, err)
}
