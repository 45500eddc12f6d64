package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// ErrClosed is returned by everything that would start something in a fleet that was closed.
var ErrClosed = errors.New("the fleet is closed")

// Options say where a fleet lives. The zero value is fit for use.
type Options struct {
	// BinDir holds zerokeeper, zeroproxy, zeroagent and zeroctl. Empty: $ZERO_BIN, and when that is not set either, they
	// are built from this module's sources into the fleet's directory at their first use.
	BinDir string
	// TempDir is where the fleet's directory is made. Empty: os.TempDir(). It must be short: socket paths have 107 bytes.
	TempDir string
	// Keep leaves the directory in place at Close. KEEP=1 and KEEP=0 in the environment overrule Keep and KeepOnFailure.
	Keep bool
	// KeepOnFailure leaves the directory in place at Close after Fail was called or when Close finds a process that ended
	// by itself.
	KeepOnFailure bool
	// Output gets the line that says where a kept directory is. Nil: os.Stderr.
	Output io.Writer
	// Logger gets starts, stops and unexpected ends. Nil: nothing is logged.
	Logger hclog.Logger
}

// Fleet is a set of child processes and the directory that they live in. Its methods may be called from any goroutine.
type Fleet struct {
	opts    Options
	log     hclog.Logger
	dir     string
	ports   *Ports
	spawner *spawner
	janitor *janitor

	watchers sync.WaitGroup     // one for each running process
	closing  context.Context    // done when Close begins: no start outlives it
	close    context.CancelFunc // begins it

	mu         sync.Mutex
	closed     bool
	failed     bool
	names      map[string]bool
	procs      []*Proc // in the order of creation
	closers    []func() error
	unexpected []error
	keepers    []*Keeper
	lastServer uint32

	build    sync.Once
	buildDir string
	buildErr error

	template    sync.Once
	templateDir string
	templateErr error
}

// New makes the directory and starts the janitor. The caller must Close the fleet.
func New(opts Options) (*Fleet, error) {
	if opts.Output == nil {
		opts.Output = os.Stderr
	}
	if opts.Logger == nil {
		opts.Logger = hclog.NewNullLogger()
	}
	if keep, err := strconv.ParseBool(os.Getenv("KEEP")); err == nil {
		opts.Keep, opts.KeepOnFailure = keep, keep
	}
	dir, err := os.MkdirTemp(opts.TempDir, "zero-")
	if err != nil {
		return nil, fmt.Errorf("make the fleet's directory: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("make the fleet's directory: %w", err)
	}
	f := &Fleet{opts: opts, log: opts.Logger.Named("fleet"), dir: dir, ports: NewPorts(), spawner: newSpawner(),
		names: make(map[string]bool)}
	f.closing, f.close = context.WithCancel(context.Background())
	if f.janitor, err = startJanitor(f.spawner, dir, opts.Keep); err != nil {
		f.close()
		f.spawner.stop()
		return nil, errors.Join(fmt.Errorf("start the janitor: %w", err), os.RemoveAll(dir))
	}
	return f, nil
}

// Dir is the fleet's directory: one directory and one log file for each process.
func (f *Fleet) Dir() string { return f.dir }

// FreePorts gives n TCP ports of 127.0.0.1 that nothing listens on and that no fleet was given before. They are claimed
// until Close.
func (f *Fleet) FreePorts(n int) ([]int, error) { return f.ports.Take(n) }

// Fail marks the run as failed: with Options.KeepOnFailure the directory is kept.
func (f *Fleet) Fail() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = true
}

// Unexpected lists the processes that have ended without having been told to, in the order of their ends.
func (f *Fleet) Unexpected() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]error(nil), f.unexpected...)
}

// Close stops every process in the reverse order of creation, waits for it, and removes the directory. It returns the
// processes that had ended by themselves and those that had to be killed because they ignored SIGTERM. A second call does
// nothing.
func (f *Fleet) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	procs, closers := f.procs, f.closers
	f.mu.Unlock()
	f.close()

	var errs []error
	for i := len(procs) - 1; i >= 0; i-- {
		if err := procs[i].end(); err != nil {
			errs = append(errs, err)
		}
	}
	f.watchers.Wait()
	for i := len(closers) - 1; i >= 0; i-- {
		if err := closers[i](); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(f.Unexpected(), errs...)

	keep := f.opts.Keep || (f.opts.KeepOnFailure && (f.failed || len(errs) > 0))
	if keep {
		fmt.Fprintf(f.opts.Output, "the fleet's data and logs are kept in %s\n", f.dir)
	} else if err := os.RemoveAll(f.dir); err != nil {
		errs = append(errs, fmt.Errorf("remove the fleet's directory: %w", err))
	}
	errs = append(errs, f.janitor.dismiss(), f.ports.Close())
	f.spawner.stop()
	return errors.Join(errs...)
}

// subdir makes a directory of the fleet for the process called name, which no other process of the fleet may have.
func (f *Fleet) subdir(name string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return "", ErrClosed
	}
	if name == "" || name != filepath.Base(name) || name[0] == '.' {
		return "", fmt.Errorf("%q cannot name a process: it is used as a directory's name", name)
	}
	if f.names[name] {
		return "", fmt.Errorf("the fleet has a process called %q already", name)
	}
	dir := filepath.Join(f.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	f.names[name] = true
	return dir, nil
}

// onClose runs fn in Close after every process has ended; later registrations run first.
func (f *Fleet) onClose(fn func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closers = append(f.closers, fn)
}

func (f *Fleet) addUnexpected(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unexpected = append(f.unexpected, err)
}

// each runs fn for 0 … n-1 at the same time, waits for all, and joins their errors.
func each(ctx context.Context, n int, fn func(ctx context.Context, i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = fn(ctx, i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
