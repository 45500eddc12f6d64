package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/cli/daemon/settings"
)

// App is what one daemon adds to the frame.
type App struct {
	Name    string // of the program and of its settings file
	Short   string // one line
	Long    string
	Example string

	// Flags is the daemon's table. The frame adds --http, --log-level,
	// --log-json, --pprof, --shutdown-timeout and --config.
	Flags []settings.Flag
	// HTTP is the default of --http; empty is no port.
	HTTP string
	// ShutdownTimeout is the default of --shutdown-timeout; 0 is 30 s.
	ShutdownTimeout time.Duration

	// Validate checks the settings after they were read; nil is no check. Its
	// error ends the program with ExitUsage before anything is bound.
	Validate func() error
	// Run is the daemon. It returns nil after ctx has ended and everything that
	// it started has stopped. An error before that ends the program.
	Run func(ctx context.Context, env *Env) error

	// Commands are further subcommands, e.g. "init". They see the settings:
	// flags of the table are theirs too, and environment and file are read.
	// An error that they return ends the program with ExitFailed.
	Commands []*cobra.Command
}

// Env is what the frame gives to a daemon.
type Env struct {
	Log      hclog.Logger
	HTTP     *http.ServeMux // of the HTTP port
	HTTPAddr string         // where it listens; empty without one
	Registry *prometheus.Registry

	health *health
	ready  func(bool)
}

// Ready says whether the daemon does its job: /readyz and, the first time that
// it is true, the service manager are told. It may be called at any time.
func (e *Env) Ready(ready bool) { e.ready(ready) }

// AddCheck adds a health check. A check of the same name is replaced.
func (e *Env) AddCheck(c Check) { e.health.add(c) }

// process is the world around a daemon, replaced by tests.
type process struct {
	args    []string
	out     io.Writer
	err     io.Writer
	getenv  func(string) (string, bool)
	signals <-chan os.Signal
}

// Main runs a daemon with the arguments of the process and returns its exit
// code.
func Main(app App) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	return execute(app, process{args: os.Args[1:], out: os.Stdout, err: os.Stderr, getenv: os.LookupEnv, signals: signals})
}

// execute is Main in a given world.
func execute(app App, p process) int {
	f := &frame{app: app, process: p, logLevel: "info", httpAddr: app.HTTP, shutdown: app.ShutdownTimeout}
	if f.shutdown == 0 {
		f.shutdown = 30 * time.Second
	}
	root, err := f.command()
	if err != nil {
		fmt.Fprintf(p.err, "%s: %v\n", app.Name, err)
		return ExitFailed
	}
	root.SetArgs(p.args)
	err = root.Execute()
	if err == nil {
		return f.code
	}
	if !f.entered {
		// Cobra's own refusals (unknown command, wrong arguments) have no type.
		err = usageError{err}
	}
	fmt.Fprintf(p.err, "%s: %v\n", app.Name, err)
	code := exitCode(err)
	if code == ExitUsage {
		fmt.Fprintf(p.err, "%s --help shows the flags; %s settings show, where each value comes from.\n", app.Name, app.Name)
	}
	return code
}

// frame is one run of a daemon.
type frame struct {
	app      App
	process  process
	settings *settings.Set
	entered  bool // the command line was accepted
	code     int

	httpAddr string
	logLevel string
	logJSON  bool
	pprof    bool
	shutdown time.Duration
	level    hclog.Level
}

// table is the daemon's flags and the frame's.
func (f *frame) table() []settings.Flag {
	return append(append([]settings.Flag(nil), f.app.Flags...),
		settings.Flag{Name: "http", Value: &f.httpAddr, Arg: "host:port", Usage: "HTTP port for health, metrics and people; empty for none"},
		settings.Flag{Name: "log-level", Value: &f.logLevel, Arg: "level", Usage: "trace, debug, info, warn or error; changes at run time with SIGUSR1, SIGUSR2 or PUT /loglevel?level="},
		settings.Flag{Name: "log-json", Value: &f.logJSON, Usage: "log one JSON object per line"},
		settings.Flag{Name: "pprof", Value: &f.pprof, Usage: "serve Go profiles at /debug/pprof/ of the HTTP port"},
		settings.Flag{Name: "shutdown-timeout", Value: &f.shutdown, Arg: "duration", Usage: "how long a stop may take before the process exits anyway"},
	)
}

// command is the daemon's command tree.
func (f *frame) command() (*cobra.Command, error) {
	root := &cobra.Command{
		Use: f.app.Name, Short: f.app.Short, Long: f.app.Long, Example: f.app.Example,
		Version: ThisBuild().String(), Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return f.load(cmd) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			code, err := f.serve(cmd.Context())
			f.code = code
			return err
		},
	}
	root.SetOut(f.process.out)
	root.SetErr(f.process.err)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	set, err := settings.New(f.app.Name, f.table(), root.PersistentFlags())
	if err != nil {
		return nil, err
	}
	f.settings = set
	root.AddCommand(f.versionCommand(), f.settingsCommand())
	root.AddCommand(f.app.Commands...)
	return root, nil
}

// unread marks commands that work without settings, even with a bad file.
const unread = "zero/unread"

// cobraOwn are the commands that cobra adds.
var cobraOwn = []string{"help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}

// load reads the settings and checks them.
func (f *frame) load(cmd *cobra.Command) error {
	for c := cmd; c != nil; c = c.Parent() {
		if c.Annotations[unread] != "" || slices.Contains(cobraOwn, c.Name()) {
			f.entered = true
			return nil
		}
	}
	if err := f.settings.Load(f.process.getenv); err != nil {
		return usageError{err}
	}
	level, err := parseLevel(f.logLevel)
	if err != nil {
		return usageError{fmt.Errorf("--log-level: %w", err)}
	}
	if f.shutdown <= 0 {
		return usageError{errors.New("--shutdown-timeout must be above 0")}
	}
	f.level = level
	if !cmd.HasParent() && f.app.Validate != nil {
		if err := f.app.Validate(); err != nil {
			return usageError{err}
		}
	}
	f.entered = true
	return nil
}

// newRegistry has what every daemon measures of itself.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := ThisBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "zero_build_info", Help: "Always 1; its labels say what the binary was made of.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "go": build.Go},
	})
	info.Set(1)
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return registry
}
