package chaos

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/zerokeeper/zero/jepsen/fault/clock"
)

// Build builds the programs that only runs need into dir, from the sources around
// the working directory: a zerokeeper with a wall clock that can be moved, one that
// can be broken besides (the tag "control"), and programs with fault points.
func Build(ctx context.Context, dir string) error {
	for program, tags := range map[string]string{programClock: "", programControl: "control"} {
		if err := clock.Build(ctx, clock.BuildConfig{
			ModuleDir: ".", Out: filepath.Join(dir, program), Packages: []string{"./cli/zerokeeper"}, Tags: tags,
		}); err != nil {
			return fmt.Errorf("build %s: %w", program, err)
		}
	}
	return buildPoints(ctx, dir)
}
