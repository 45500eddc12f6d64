package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// errStopping is why a daemon that was told to stop is not ready.
var errStopping = errors.New("stopping")

// serve runs the daemon from the log to the end.
func (f *frame) serve(ctx context.Context) (int, error) {
	log := newLogger(f.app.Name, f.level, f.logJSON, f.process.err)
	registry := newRegistry()
	state := newHealth(registry)
	mux := http.NewServeMux()
	server, err := openHTTP(ctx, f.httpAddr, choose(mux, frameMux(log, state, registry, f.pprof)), log)
	if err != nil {
		return ExitFailed, err
	}
	defer server.close()
	env := &Env{Log: log, HTTP: mux, Registry: registry, health: state}
	if server != nil {
		env.HTTPAddr = server.addr
	}
	socket, _ := f.process.getenv("NOTIFY_SOCKET")
	r := &running{log: log, health: state, socket: socket}
	env.ready = r.ready
	log.Info("starting", "version", ThisBuild().Version, "http", env.HTTPAddr)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.app.Run(ctx, env) }()
	code, err := f.wait(r, cancel, ended)
	if code != ExitOK {
		server.kill()
		return code, nil
	}
	if err != nil && !(r.isStopping() && errors.Is(err, context.Canceled)) {
		log.Error("stopped", "error", err)
		return exitCode(err), nil
	}
	if !r.isStopping() {
		log.Error("stopped without being told to")
		return ExitFailed, nil
	}
	log.Info("stopped")
	return ExitOK, nil
}

// wait handles signals until App.Run returns, the time to stop is over or a
// second signal came. A code that is not ExitOK ends the process whatever
// still runs.
func (f *frame) wait(r *running, cancel context.CancelFunc, ended <-chan error) (int, error) {
	var late <-chan time.Time
	for {
		select {
		case err := <-ended:
			return ExitOK, err
		case <-late:
			r.log.Error("the stop took too long; exiting with work undone", "shutdown-timeout", f.shutdown)
			return ExitFailed, nil
		case sig := <-f.process.signals:
			switch sig {
			case syscall.SIGUSR1:
				r.log.Warn("log level changed", "to", shift(r.log, -1), "by", "SIGUSR1")
			case syscall.SIGUSR2:
				r.log.Warn("log level changed", "to", shift(r.log, +1), "by", "SIGUSR2")
			default:
				if r.isStopping() {
					r.log.Error("second signal: exiting at once", "signal", sig)
					return signalCode(sig), nil
				}
				r.log.Info("stopping", "signal", sig, "at-most", f.shutdown)
				r.stop()
				cancel()
				timer := time.NewTimer(f.shutdown)
				defer timer.Stop()
				late = timer.C
			}
		}
	}
}

// signalCode is a shell's code for a process that a signal ended.
func signalCode(sig os.Signal) int {
	if number, ok := sig.(syscall.Signal); ok {
		return exitSignal + int(number)
	}
	return ExitFailed
}

// running is the state of a daemon that others may ask for.
type running struct {
	log    hclog.Logger
	health *health
	socket string

	mu       sync.Mutex
	stopping bool
	told     bool // READY=1 was sent
}

// ready is Env.Ready. A daemon that stops does not become ready again.
func (r *running) ready(ready bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping {
		return
	}
	if !ready {
		r.health.setState(errors.New("not ready"))
		return
	}
	r.health.setState(nil)
	if r.told {
		return
	}
	r.told = true
	r.tell(notifyReady)
}

// stop tells everybody that asks that the daemon is about to end.
func (r *running) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
	r.health.setState(errStopping)
	r.tell(notifyStopping)
}

func (r *running) isStopping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopping
}

// tell sends a message to the service manager. A manager that cannot be told
// is not a reason to fail.
func (r *running) tell(message string) {
	if err := notify(r.socket, message); err != nil {
		r.log.Warn(fmt.Sprintf("%s was not delivered", message), "error", err)
	}
}
