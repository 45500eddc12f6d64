package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// DefaultStopTimeout bounds the time between SIGTERM and SIGKILL.
	DefaultStopTimeout = 10 * time.Second
	// DefaultReadyTimeout bounds the time from a process's start to its readiness.
	DefaultReadyTimeout = 30 * time.Second
	// killTimeout bounds the wait for a process that was killed. Only a process stuck in the kernel takes so long.
	killTimeout = 10 * time.Second
)

var (
	// ErrStopTimeout is returned when a process ignored SIGTERM for its stop timeout and had to be killed.
	ErrStopTimeout = errors.New("the process ignored SIGTERM and was killed")
	// ErrNotRunning is returned when a signal is meant for a process that has ended or was never started.
	ErrNotRunning = errors.New("the process is not running")
	// ErrRunning is returned by Start when the process runs already.
	ErrRunning = errors.New("the process is running already")
)

// ProcConfig describes a child process.
type ProcConfig struct {
	// Name names the process's directory and log file in the fleet's directory; it is unique in the fleet.
	Name string
	// Path is the program: a path, or a name looked for in PATH, /usr/sbin and /usr/local/sbin.
	Path string
	// Args are its arguments, without the program's name.
	Args []string
	// Env is appended to the environment of the calling program.
	Env []string
	// NetNS is the path of the network namespace that the process is started in, such as /run/netns/n1 or
	// /proc/PID/ns/net; it takes CAP_SYS_ADMIN. Empty: this program's. Ready probes from this program's in any case.
	NetNS string
	// StopTimeout bounds the time between SIGTERM and SIGKILL. Zero: DefaultStopTimeout.
	StopTimeout time.Duration
	// Ready reports by nil that the process serves. It is called again and again, each time with a context of at most two
	// seconds. Nil: the process is ready when it was started.
	Ready func(context.Context) error
	// ReadyTimeout bounds the wait for Ready. Zero: DefaultReadyTimeout.
	ReadyTimeout time.Duration
	// KillOnClose lets Fleet.Close kill the process instead of stopping it, for one whose data ends with the fleet.
	KillOnClose bool
}

// Proc is a child process that can be ended and started again. Each run has its own process group, and the end of its
// first process ends the group. The output of all runs goes to one log file.
type Proc struct {
	fleet *Fleet
	cfg   ProcConfig
	dir   string
	log   string

	control sync.Mutex // one Start or Stop at a time; Kill does not wait for them

	mu  sync.Mutex
	run *run // the current or the last; nil before the first
}

// NewProc registers a process with the fleet and makes its directory; Start starts it.
func (f *Fleet) NewProc(cfg ProcConfig) (*Proc, error) {
	if cfg.StopTimeout <= 0 {
		cfg.StopTimeout = DefaultStopTimeout
	}
	if cfg.ReadyTimeout <= 0 {
		cfg.ReadyTimeout = DefaultReadyTimeout
	}
	path, err := lookProgram(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Name, err)
	}
	cfg.Path = path
	dir, err := f.subdir(cfg.Name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Name, err)
	}
	p := &Proc{fleet: f, cfg: cfg, dir: dir, log: dir + ".log"}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.procs = append(f.procs, p)
	return p, nil
}

// Start starts the process and waits until it is ready. When it ends before that, or is not ready in time, the error
// holds the end of its log, and the process is killed. extra comes at the end of the command line, in this run only.
func (p *Proc) Start(ctx context.Context, extra ...string) error {
	p.control.Lock()
	defer p.control.Unlock()
	r, err := p.launch(extra)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.cfg.Name, err)
	}
	if p.cfg.Ready != nil {
		ctx, cancel := context.WithTimeout(ctx, p.cfg.ReadyTimeout)
		defer cancel()
		defer context.AfterFunc(p.fleet.closing, cancel)()
		err = r.until(ctx, p.cfg.Ready)
	}
	if err = errors.Join(err, r.started()); err != nil {
		err = fmt.Errorf("start %s: %w; the end of its log:\n%s", p.cfg.Name, err, p.LogTail(20))
		return errors.Join(err, r.kill())
	}
	return nil
}

func (p *Proc) launch(extra []string) (*run, error) {
	if r := p.current(); r != nil && r.alive() {
		return nil, ErrRunning
	}
	logFile, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	args := append(append([]string(nil), p.cfg.Args...), extra...)
	cmd := exec.Command(p.cfg.Path, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), p.cfg.Env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	fmt.Fprintf(logFile, "--- %s %s %q\n", time.Now().Format(time.RFC3339Nano), p.cfg.Path, args)

	f := p.fleet
	r, err := f.spawn(p.cfg.Name, cmd, p.cfg.NetNS)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.run = r
	p.mu.Unlock()
	go func() {
		defer f.watchers.Done()
		p.watch(r)
	}()
	f.log.Debug("started", "process", p.cfg.Name, "pid", r.pgid)
	return r, nil
}

// Stop sends SIGTERM, waits for the end, and kills the process when the stop timeout or ctx runs out, in which case the
// error is ErrStopTimeout. A paused process is resumed first. Stopping what has ended does nothing.
func (p *Proc) Stop(ctx context.Context) error {
	p.control.Lock()
	defer p.control.Unlock()
	return p.stop(ctx)
}

func (p *Proc) stop(ctx context.Context) error {
	r := p.current()
	if r == nil || !r.alive() {
		return nil
	}
	r.expect()
	if err := errors.Join(r.signal(syscall.SIGTERM), r.signal(syscall.SIGCONT)); err != nil && r.alive() {
		return fmt.Errorf("stop %s: %w", p.cfg.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.StopTimeout)
	defer cancel()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("stop %s: %w", p.cfg.Name, ErrStopTimeout), r.kill())
	}
}

// Kill sends SIGKILL to the process group and waits for the end. Killing what has ended does nothing.
func (p *Proc) Kill() error {
	r := p.current()
	if r == nil {
		return nil
	}
	return r.kill()
}

// Restart stops the process, if it runs, and starts it as Start does. A process that ignored SIGTERM is started again all
// the same; the error still says so.
func (p *Proc) Restart(ctx context.Context, extra ...string) error {
	p.control.Lock()
	err := p.stop(ctx)
	p.control.Unlock()
	return errors.Join(err, p.Start(ctx, extra...))
}

// Pause stops the process group in its tracks (SIGSTOP) and returns when it stands still. Its sockets stay open.
func (p *Proc) Pause(ctx context.Context) error {
	r := p.current()
	if r == nil {
		return fmt.Errorf("pause %s: %w", p.cfg.Name, ErrNotRunning)
	}
	if err := r.pause(ctx); err != nil {
		return fmt.Errorf("pause %s: %w", p.cfg.Name, err)
	}
	return nil
}

// Resume lets a paused process group go on.
func (p *Proc) Resume() error { return p.Signal(syscall.SIGCONT) }

// ExpectEnd says that the current run may end by itself: Close will not report it.
func (p *Proc) ExpectEnd() {
	if r := p.current(); r != nil {
		r.expect()
	}
}

// Signal sends sig to the process group. It does not make the end of the process an expected one: ExpectEnd, Stop and Kill
// do.
func (p *Proc) Signal(sig syscall.Signal) error {
	r := p.current()
	if r == nil {
		return fmt.Errorf("signal %s: %w", p.cfg.Name, ErrNotRunning)
	}
	if err := r.signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.cfg.Name, err)
	}
	return nil
}

// end is the fleet's last word to a process.
func (p *Proc) end() error {
	if p.cfg.KillOnClose {
		return p.Kill()
	}
	return p.Stop(context.Background())
}

func (p *Proc) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// Name is the process's name in the fleet.
func (p *Proc) Name() string { return p.cfg.Name }

// Dir is the process's working directory, its own in the fleet's.
func (p *Proc) Dir() string { return p.dir }

// LogPath is the file with the output of all runs.
func (p *Proc) LogPath() string { return p.log }

// lookProgram finds a program: daemons of Debian live in directories that an ordinary user's PATH lacks.
func lookProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return filepath.Abs(path)
	}
	if filepath.Base(name) == name {
		for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
			if path, err2 := exec.LookPath(filepath.Join(dir, name)); err2 == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%w (`make deps` installs what the tests need)", err)
}
