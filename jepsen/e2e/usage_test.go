package e2e

import (
	"path/filepath"
	"testing"
	"time"
)

// exitUsage is every program's exit code for a command line that is wrong.
const exitUsage = 64

// TestUsage: a command line that cannot be right ends the program at once, with
// what is wrong with it, and nothing is made or bound.
func TestUsage(t *testing.T) {
	ctx := limit(t, 30*time.Second)
	f := newFleet(t)
	data := filepath.Join(f.Dir(), "never-made")
	for _, test := range []struct {
		name, program string
		args          []string
		want          string
	}{
		{"no data", "zerokeeper", nil, "--data is needed"},
		{"address", "zerokeeper", []string{"--data", data, "--listen", "nonsense"}, "nonsense"},
		{"not for others", "zerokeeper", []string{"--data", data, "--listen", "0.0.0.0:7001"}, "--advertise"},
		{"dev with data", "zerokeeper", []string{"--dev", "--data", data}, "--dev"},
		{"keeper", "zerokeeper", []string{"--data", data, "--join", "127.0.0.1:1,nonsense"}, "nonsense"},
		{"profile", "zerokeeper", []string{"--dev", "--raft-profile", "odd"}, "odd"},
		{"level", "zerokeeper", []string{"--dev", "--log-level", "loud"}, "--log-level"},
		{"argument", "zerokeeper", []string{"--dev", "extra"}, "extra"},
		{"no cluster", "zeroproxy", nil, "--cluster is needed"},
		{"no keepers", "zeroproxy", []string{"--cluster", "c", "--data", data, "--keepers", ""}, "--keepers"},
		{"keeper", "zeroproxy", []string{"--cluster", "c", "--data", data, "--keepers", "127.0.0.1:1,nonsense"}, "nonsense"},
		{"flag", "zeroproxy", []string{"--no-such"}, "--no-such"},
		{"no server", "zeroagent", nil, "--mysql"},
		{"keeper", "zeroagent", []string{"--mysql", "127.0.0.1:1", "--data", data, "--keepers", "nonsense"}, "nonsense"},
		{"literal password", "zeroagent", []string{"--mysql", "127.0.0.1:1", "--data", data, "--keepers", "127.0.0.1:1",
			"--password-ref", "sesame", "--replication-password-ref", "sesame"}, "--password-ref"},
		{"keeper", "zeroctl", []string{"--keepers", "nonsense", "status"}, "nonsense"},
		{"output", "zeroctl", []string{"-o", "xml", "status"}, "xml"},
		{"command", "zeroctl", []string{"no-such-command"}, "no-such-command"},
		{"missing flag", "zeroctl", []string{"switch", "start", "--group", "g", "--to", "1"}, "reason"},
		{"negative index", "zeroctl", []string{"switch", "start", "--group", "g", "--to", "-1", "--reason", "x"}, "--to"},
		{"index in words", "zeroctl", []string{"switch", "start", "--group", "g", "--to", "one", "--reason", "x"}, "--to"},
		{"wait", "zeroctl", []string{"config", "push", "file", "--wait", "0s"}, "--wait"},
	} {
		t.Run(test.program+" "+test.name, func(t *testing.T) {
			result := program(t, ctx, f, exitUsage, test.program, test.args...)
			has(t, "what it says", result.Stderr, test.want, "--help")
			if matches, err := filepath.Glob(data); err != nil || len(matches) > 0 {
				t.Errorf("it made %v, %v", matches, err)
			}
		})
	}
}
