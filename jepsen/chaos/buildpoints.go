package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The directories with programs that have fault points, below that of the
// programs: as they are, and such that can be broken besides.
const (
	dirPoints = "faultpoint"
	dirBroken = "faultpoint-control"
)

// withPoints are the programs that have fault points.
var withPoints = []string{"zerokeeper", "zeroagent", "zeroproxy"}

// buildPoints builds the programs that have fault points into directories of
// their own.
func buildPoints(ctx context.Context, dir string) error {
	for sub, tags := range map[string]string{dirPoints: "faultpoint", dirBroken: "faultpoint,control"} {
		out := filepath.Join(dir, sub)
		if err := os.MkdirAll(out, 0o755); err != nil {
			return fmt.Errorf("build programs with fault points: %w", err)
		}
		args := []string{"build", "-tags", tags, "-o", out + string(filepath.Separator)}
		for _, p := range withPoints {
			args = append(args, "./cli/"+p)
		}
		if text, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("build programs with fault points: %w: %s", err, text)
		}
	}
	return nil
}
