//go:build control

package daemon

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Broken is what ZERO_CONTROL wants to be broken, names with commas between, so
// that the tests which should notice can show that they do. A name that is not
// known ends the program. It exists only in builds with the tag "control".
func Broken(known ...string) map[string]bool {
	broken := map[string]bool{}
	for name := range strings.SplitSeq(os.Getenv("ZERO_CONTROL"), ",") {
		if name != "" && !slices.Contains(known, name) {
			fmt.Fprintf(os.Stderr, "ZERO_CONTROL: %q: want some of %s\n", name, strings.Join(known, ", "))
			os.Exit(int(ExitUsage))
		}
		broken[name] = true
	}
	return broken
}
