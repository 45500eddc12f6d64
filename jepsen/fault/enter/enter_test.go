package enter

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// tiers are the users and what they reach.
var tiers = []struct {
	name string
	tier fault.Tier
	uid  int
}{{"A", fault.TierA, root}, {"B", fault.TierB, nobody}}

func TestEnter(t *testing.T) {
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tiers {
		t.Run(tt.name, func(t *testing.T) {
			need(t, tt.tier, tt.uid)
			p := started(t, "end", tt.uid, "ZERO_CHAOS_TIER="+tt.name)
			if code := p.code(t); code != 7 {
				t.Errorf("exit code %d, want the inner one's, 7: %s", code, p.stderr)
			}
			r := p.report
			if r.Tier != tt.name || r.PID == p.cmd.Process.Pid || r.NetNS == here || r.NetNS == "" {
				t.Errorf("%+v: want tier %s, another process than %d, another namespace than %s", r, tt.name, p.cmd.Process.Pid, here)
			}
			if !r.Loopback {
				t.Error("lo does not work")
			}
			if r.Marked {
				t.Errorf("%s is left in the environment: what the program starts would believe to be inside", marker)
			}
			if want := []string{"-one", "two words"}; !slices.Equal(r.Args, want) || r.Dir != "/" {
				t.Errorf("arguments %q in %s, want %q in /", r.Args, r.Dir, want)
			}
		})
	}
}

func TestEnterRefusesLess(t *testing.T) {
	need(t, fault.TierB, nobody)
	p := start(t, "end", nobody, "ZERO_CHAOS_TIER=A")
	if code := p.code(t); code != 65 || !strings.Contains(p.stderr.String(), "wanted A, only B is possible") {
		t.Errorf("exit code %d, %q", code, p.stderr)
	}
}

func TestEnterRefusesAForgedMarker(t *testing.T) {
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range []string{"", "A", "A " + here, "D net:[1]"} {
		t.Run(mark, func(t *testing.T) {
			p := start(t, "end", os.Getuid(), marker+"="+mark)
			if code := p.code(t); code != 65 || !strings.Contains(p.stderr.String(), marker) {
				t.Errorf("exit code %d, %q", code, p.stderr)
			}
		})
	}
}

func TestSignalsReachTheInner(t *testing.T) {
	need(t, fault.TierA, root)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			p := started(t, "wait", root)
			if err := p.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if got := p.line(t); got != sig.String() {
				t.Errorf("the inner process got %q", got)
			}
			if code := p.code(t); code != 3 {
				t.Errorf("exit code %d, want 3", code)
			}
		})
	}
}

func TestNothingIsLeft(t *testing.T) {
	ways := []struct {
		name string
		end  func(p *program) error
		code int
	}{
		{"outer killed", func(p *program) error { return p.cmd.Process.Kill() }, -1},
		{"inner killed", func(p *program) error { return syscall.Kill(p.report.PID, syscall.SIGKILL) }, 128 + 9},
		{"stopped", func(p *program) error { return p.cmd.Process.Signal(syscall.SIGTERM) }, 3},
	}
	for _, tier := range tiers {
		for _, way := range ways {
			t.Run(tier.name+" "+way.name, func(t *testing.T) {
				need(t, tier.tier, tier.uid)
				dir, err := os.MkdirTemp("", "zero-enter-")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.Remove(dir) })
				p := started(t, "litter:"+dir, tier.uid)
				seen(t, p, dir) // nothing leaks out while it runs
				if inner, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", p.report.PID)); err != nil || !strings.Contains(string(inner), dir) {
					t.Errorf("inside there is no mount on %s: %v", dir, err)
				}
				if err := way.end(p); err != nil {
					t.Fatal(err)
				}
				if code := p.code(t); code != way.code {
					t.Errorf("exit code %d, want %d", code, way.code)
				}
				gone(t, p.report.PID)
				seen(t, p, dir)
			})
		}
	}
}

// seen fails the test if the litter is seen outside.
func seen(t *testing.T, p *program, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), dir) {
		t.Errorf("the mount on %s is seen outside", dir)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("%s is not empty: %v %v", dir, files, err)
	}
	if _, err := os.Lstat(filepath.Join(namesDir, fmt.Sprintf("litter%d", p.report.PID))); !os.IsNotExist(err) {
		t.Errorf("the named namespace is seen outside: %v", err)
	}
	if links, err := os.ReadFile("/proc/net/dev"); err != nil || strings.Contains(string(links), "litter") {
		t.Errorf("the interface is seen outside: %v\n%s", err, links)
	}
}

func TestPanicsEndBoth(t *testing.T) {
	need(t, fault.TierA, root)
	p := started(t, "panic", root)
	if err := p.stdin.Close(); err != nil { // the inner process reads the same standard input
		t.Fatal(err)
	}
	if code := p.code(t); code != 2 || !strings.Contains(p.stderr.String(), "as asked for") {
		t.Errorf("exit code %d, %q", code, p.stderr)
	}
	gone(t, p.report.PID)
}
