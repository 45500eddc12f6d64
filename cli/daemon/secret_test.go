package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/zerokeeper/zero/cli/daemon/settings"
	"github.com/zerokeeper/zero/transport/conf"
)

func TestSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(path, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ZERO_TEST_PW", "from env")
	for _, test := range []struct {
		name, ref string
		dev       bool
		want      string // resolved
		shown     string
		err       error
	}{
		{"file", "${file:" + path + "}", false, "from file", "${file:" + path + "}", nil},
		{"environment", "${env:ZERO_TEST_PW}", false, "from env", "${env:ZERO_TEST_PW}", nil},
		{"literal", "hunter2", false, "", "[redacted]", conf.ErrLiteralSecret},
		{"literal in dev", "hunter2", true, "hunter2", "[redacted]", nil},
		{"no such variable", "${env:ZERO_TEST_NO_PW}", false, "", "${env:ZERO_TEST_NO_PW}", conf.ErrSecret},
		{"no such file", "${file:/nonexistent/pw}", false, "", "${file:/nonexistent/pw}", os.ErrNotExist},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s Secret
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			set, err := settings.New("test", []settings.Flag{{Name: "password", Value: &s, Usage: "a secret"}}, fs)
			if err != nil {
				t.Fatal(err)
			}
			if err := fs.Parse([]string{"--password", test.ref}); err != nil {
				t.Fatal(err)
			}
			if s.String() != test.shown || !s.Given() {
				t.Errorf("it is shown as %q, want %q", s.String(), test.shown)
			}
			got, err := s.Resolve(test.dev)
			if got.Reveal() != test.want || !errors.Is(err, test.err) {
				t.Errorf("resolved to %q, %v", got.Reveal(), err)
			}
			if all := fmt.Sprint(set.Settings(), err, fs.FlagUsages()); strings.Contains(all, "hunter2") {
				t.Errorf("the secret is shown: %s", all)
			}
		})
	}
	var s Secret
	for _, bad := range []string{"${file:pw}", "${nothing}", "${env:X"} {
		if err := s.Set(bad); err == nil || s.Given() {
			t.Errorf("%q was taken: %v", bad, err)
		}
	}
}
