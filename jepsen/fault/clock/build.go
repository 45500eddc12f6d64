package clock

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrUnknownGo is returned by Build when this Go's time.Now is not the one that Build knows how to patch.
var ErrUnknownGo = errors.New("time.Now of this Go release has an unknown form")

const (
	// whole and patched are the only change in time.go. The text must be in it exactly once.
	whole   = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	patched = whole + "\tsec, nsec = zeroClock(sec, nsec)\n"

	// addedName is how the added file of package time is called: one that Go will not have.
	addedName = "zz_zero_clock.go"

	// buildTimeout bounds a build: a cold one compiles the standard library as well.
	buildTimeout = 10 * time.Minute
	// outputDelay bounds the wait for the output of a build that was ended.
	outputDelay = 5 * time.Second
)

// added is the file that package time gets. It has another extension here, so that it is no part of this package.
//
//go:embed zeroclock.go.txt
var added []byte

// BuildConfig says what Build builds.
type BuildConfig struct {
	// ModuleDir is a directory in the module; Packages are relative to it.
	ModuleDir string
	// Out is the program's file or, with more than one package, the directory of the programs.
	Out string
	// Packages are the main packages, as for go build.
	Packages []string
	// Tags are build tags, separated by commas. Empty: none.
	Tags string
	// Flags are further flags of go build, such as -race.
	Flags []string
}

// Validate returns an error that names what is missing.
func (c BuildConfig) Validate() error {
	switch {
	case c.ModuleDir == "":
		return errors.New("no ModuleDir: name a directory in the module")
	case c.Out == "":
		return errors.New("no Out: name the file or directory to build into")
	case len(c.Packages) == 0:
		return errors.New("no Packages: name at least one main package")
	}
	return nil
}

// Build builds programs whose wall clock a Clock can move. It needs the go command. The first build takes as long as
// compiling the standard library; Go's cache keeps it.
func Build(ctx context.Context, cfg BuildConfig) error {
	if err := build(ctx, cfg); err != nil {
		return fmt.Errorf("build with a clock that can be moved: %w", err)
	}
	return nil
}

func build(ctx context.Context, cfg BuildConfig) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	out, err := filepath.Abs(cfg.Out)
	if err != nil {
		return err
	}
	if len(cfg.Packages) > 1 {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
	}
	env, err := goCommand(ctx, cfg.ModuleDir, "env", "GOROOT", "GOVERSION")
	if err != nil {
		return err
	}
	root, version, ok := strings.Cut(strings.TrimSpace(env), "\n")
	if !ok {
		return fmt.Errorf("go env GOROOT GOVERSION said %q", env)
	}
	dir, err := os.MkdirTemp("", "zero-clock-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	overlay, err := writeOverlay(dir, filepath.Join(root, "src", "time"), version)
	if err != nil {
		return err
	}
	args := []string{"build", "-overlay", overlay, "-o", out}
	if cfg.Tags != "" {
		args = append(args, "-tags", cfg.Tags)
	}
	args = append(append(args, cfg.Flags...), cfg.Packages...)
	_, err = goCommand(ctx, cfg.ModuleDir, args...)
	return err
}

// writeOverlay writes the changed and the added file of package time, which lies in src, and what tells go of them.
func writeOverlay(dir, src, version string) (path string, err error) {
	text, err := os.ReadFile(filepath.Join(src, "time.go"))
	if err != nil {
		return "", err
	}
	changed, err := patch(string(text), version)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(src, addedName)); err == nil {
		return "", fmt.Errorf("%w: %s has a file %s", ErrUnknownGo, version, addedName)
	}
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for name, text := range map[string]string{"time.go": changed, addedName: string(added)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(src, name)] = path
	}
	path = filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, list, 0o600)
}

func patch(text, version string) (string, error) {
	if n := strings.Count(text, whole); n != 1 {
		return "", fmt.Errorf("%w: %s has %d times the text %q in time/time.go, want it once: teach this package the new form",
			ErrUnknownGo, version, n, whole)
	}
	return strings.Replace(text, whole, patched, 1), nil
}

// goCommand runs go in dir and returns its standard output. The compilers that it started end with it.
func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = outputDelay
	err := cmd.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, stderr.String())
	}
	return stdout.String(), nil
}
