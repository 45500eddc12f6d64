package netns

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// A user without privileges has a Bridge, and is told why there is no Switch: the tests of this package, run as nobody.
func TestAsNobody(t *testing.T) {
	need(t, fault.TierA)
	const nobody = 65534
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tests := []string{"TestEverybodyReachesEverybody", "TestSetReplaces", "TestIsolation", "TestLoss", "TestClose"} // of both kinds
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.v", "-test.run=^(TestSwitchNeedsTUN|TestIn|"+strings.Join(tests, "|")+")$")
	cmd.Env = append(os.Environ(), "ZERO_CHAOS_TIER=B", "CI=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "only C is possible") {
		t.Skipf("NOT TESTED: this machine gives users no namespaces: %s", out)
	}
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	passed := []string{"TestIn"}
	for _, name := range tests {
		passed = append(passed, name+"/bridge")
	}
	for _, name := range passed {
		if !regexp.MustCompile(`--- PASS: ` + name + ` `).Match(out) {
			t.Errorf("%s did not pass:\n%s", name, out)
		}
	}
}
