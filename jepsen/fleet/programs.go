package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// buildTimeout bounds the build of the programs, which takes a minute or two when Go's cache is cold.
	buildTimeout = 10 * time.Minute
	// zeroctlTimeout bounds a zeroctl call whose context has no deadline.
	zeroctlTimeout = time.Minute
	// leaderTimeout bounds one keeper's answer to "do you lead?".
	leaderTimeout = 500 * time.Millisecond
)

// Programs are the names of zero's programs.
var Programs = []string{"zerokeeper", "zeroproxy", "zeroagent", "zeroctl"}

// ErrNoModule is returned when the programs have to be built and the working directory is not in zero's sources.
var ErrNoModule = errors.New("not in the sources of zero: set ZERO_BIN to the directory with its programs")

// BinDir is the directory of the programs: Options.BinDir, else $ZERO_BIN, else they are built at the first call.
func (f *Fleet) BinDir(ctx context.Context) (string, error) {
	f.build.Do(func() {
		if f.buildDir = f.opts.BinDir; f.buildDir == "" {
			f.buildDir = os.Getenv("ZERO_BIN")
		}
		if f.buildDir != "" {
			f.buildDir, f.buildErr = filepath.Abs(f.buildDir)
			return
		}
		f.buildDir = filepath.Join(f.dir, ".bin")
		f.buildErr = f.Build(ctx, f.buildDir)
	})
	return f.buildDir, f.buildErr
}

// Build builds zero's programs from the sources around the working directory into dir. flags are flags of `go build`, such
// as "-tags=nohold" or "-race".
func (f *Fleet) Build(ctx context.Context, dir string, flags ...string) error {
	root, err := moduleRoot()
	if err != nil {
		return fmt.Errorf("build the programs: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("build the programs: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, flags...)
	for _, name := range Programs {
		args = append(args, "./cli/"+name)
	}
	res, err := f.runIn(ctx, root, "", "go", args...)
	if err != nil {
		return fmt.Errorf("build the programs: %w", err)
	}
	if res.Code != 0 {
		return fmt.Errorf("build the programs: exit %d: %s%s", res.Code, res.Stdout, res.Stderr)
	}
	return nil
}

// moduleRoot is the nearest directory above the working directory with both a go.mod and the programs' sources.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, errMod := os.Stat(filepath.Join(dir, "go.mod"))
		_, errCLI := os.Stat(filepath.Join(dir, "cli", "zerokeeper"))
		if errMod == nil && errCLI == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", ErrNoModule
		}
		dir = parent
	}
}

// Zeroctl runs zeroctl against the fleet's keepers. Its exit code is in the result: the error is for a zeroctl that could
// not be run or did not end in time.
func (f *Fleet) Zeroctl(ctx context.Context, args ...string) (Result, error) {
	return f.ZeroctlInput(ctx, "", args...)
}

// ZeroctlInput is Zeroctl with text for its standard input.
func (f *Fleet) ZeroctlInput(ctx context.Context, stdin string, args ...string) (Result, error) {
	bin, err := f.BinDir(ctx)
	if err != nil {
		return Result{}, err
	}
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, zeroctlTimeout)
		defer cancel()
	}
	return f.RunInput(ctx, stdin, filepath.Join(bin, "zeroctl"), append([]string{"--keepers", f.KeeperAddrs()}, args...)...)
}
