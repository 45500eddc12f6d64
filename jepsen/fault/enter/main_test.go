package enter

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// part is the variable that lets the test binary play a program that enters namespaces.
const part = "ENTER_PART"

// patience bounds every wait.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if how := os.Getenv(part); how != "" {
		os.Exit(act(how))
	}
	os.Exit(m.Run())
}

// report is what the program tells about itself, as one line.
type report struct {
	Tier     string
	PID      int
	NetNS    string
	Args     []string
	Dir      string
	Loopback bool // something can be dialed on 127.0.0.1
	Probe    Capabilities
	Marked   bool // the marker is still in the environment
}

func act(how string) int {
	want, err := Wanted()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 64
	}
	tier, err := Enter(want)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 65
	}
	again, err := Enter(0)
	if err != nil || again != tier {
		fmt.Fprintln(os.Stderr, "entered twice:", again, err)
		return 66
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	r := report{Tier: tier.String(), PID: os.Getpid(), Args: os.Args[1:], Loopback: dials()}
	r.NetNS, _ = os.Readlink("/proc/self/ns/net")
	r.Dir, _ = os.Getwd()
	_, r.Marked = os.LookupEnv(marker)
	if how == "probe" {
		r.Probe = Probe()
	}
	if dir, ok := strings.CutPrefix(how, "litter:"); ok {
		if err := litter(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 67
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return 68
	}
	switch how {
	case "end", "probe":
		return 7
	case "panic":
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
			return 69
		}
		panic("as asked for")
	}
	sig := <-signals
	fmt.Println(sig)
	return 3
}

func dials() bool {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return false
	}
	defer l.Close()
	c, err := net.DialTimeout("tcp", l.Addr().String(), patience)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// litter leaves what a run may leave when it is killed: a mount on dir, a named namespace and an interface.
func litter(dir string) error {
	if err := unix.Mount("litter", dir, "tmpfs", 0, "size=1m"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{{"link", "add", "litter0", "type", "veth", "peer", "name", "litter1"}, {"netns", "add", "litter" + strconv.Itoa(os.Getpid())}} {
		if args[0] == "netns" {
			if _, err := os.Stat(namesDir); err != nil {
				continue // the command would make the directory, in the machine's file system
			}
		}
		sh := append([]string{"-c", `PATH="$PATH:/usr/sbin:/sbin" && exec ip "$@"`, "sh"}, args...)
		if out, err := exec.Command("/bin/sh", sh...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	return nil
}

// program is a running copy of the test binary.
type program struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr *strings.Builder
	report report
}

// start starts a program that enters namespaces; uid is who runs it.
func start(t *testing.T, how string, uid int, env ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command("/proc/self/exe", "-one", "two words"), stderr: new(strings.Builder)}
	p.cmd.Dir = "/"
	p.cmd.Env = append(os.Environ(), part+"="+how, "CI=", "ZERO_CHAOS_TIER=")
	p.cmd.Env = append(p.cmd.Env, env...)
	if uid != os.Getuid() {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
}

// started is start, and waits for the program's report.
func started(t *testing.T, how string, uid int, env ...string) *program {
	t.Helper()
	p := start(t, how, uid, env...)
	line := p.line(t)
	if err := json.Unmarshal([]byte(line), &p.report); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return p
}

func (p *program) line(t *testing.T) string {
	t.Helper()
	kill := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		_ = p.cmd.Wait()
		t.Fatalf("the program said %q: %v: %s", line, err, p.stderr)
	}
	return strings.TrimSpace(line)
}

// code waits for the program's end.
func (p *program) code(t *testing.T) int {
	t.Helper()
	kill := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	if err := p.cmd.Wait(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	return p.cmd.ProcessState.ExitCode()
}

// gone waits until the process has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for end := time.Now().Add(patience); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, max(0, int(time.Until(end).Milliseconds())))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n != 1 {
			t.Fatalf("process %d lives on: %v", pid, err)
		}
		return
	}
}

// users are whom the tests run as: nobody may use only user namespaces.
const (
	root   = 0
	nobody = 65534
)

// need skips the test, and says so, where a user cannot reach a tier; in CI it fails it.
func need(t *testing.T, tier fault.Tier, uid int) {
	t.Helper()
	if os.Getuid() != root && uid != os.Getuid() {
		missing(t, "the tests do not run as root")
	}
	if uid == nobody {
		p := started(t, "end", nobody)
		p.code(t)
		if p.report.Tier != tier.String() {
			missing(t, "a user without privileges reaches tier "+p.report.Tier)
		}
		return
	}
	if got, why := possible(); got < tier {
		missing(t, why)
	}
}

func missing(t *testing.T, why string) {
	t.Helper()
	if want, err := Wanted(); err != nil || want == fault.TierA {
		t.Fatalf("this must be tested here (ZERO_CHAOS_TIER, CI): %s %v", why, err)
	}
	t.Skipf("NOT TESTED: %s", why)
}
