package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
)

// restartAfter is how long a host waits before it starts a database again that ended by itself, as when its agent killed it.
const restartAfter = 500 * time.Millisecond

// supervisor is what a host does about its database: it starts it again with what the agent has written for that, unless
// the run wants it down.
type supervisor struct {
	run  *Run
	host *DBHost

	mu   sync.Mutex // held while the server is started or killed
	down bool
}

// watch starts the server again whenever it ended, until ctx is done.
func (s *supervisor) watch(ctx context.Context) {
	noted := 0 // pid whose end was noted
	for ctx.Err() == nil {
		pid := s.host.PID()
		status, err := s.host.Maria.Wait(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil && pid != noted && !s.isDown() {
			s.run.Timeline.Note("%s ended: %s; its host starts it again", s.host.Name(), status)
			noted = pid
		}
		wait(ctx, restartAfter)
		if err := s.mayStart(ctx); err != nil {
			continue
		}
		if err := s.restart(ctx); err != nil && ctx.Err() == nil {
			s.run.Timeline.Note("%s: %v", s.host.Name(), err)
		}
	}
}

func (s *supervisor) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// mayStart reports why the server must not be started yet. The plan may say that a host starts it whatever its agent knows;
// then a former primary keeps what nobody acknowledged. Otherwise its agent is asked, as `zeroagent await-start` does.
func (s *supervisor) mayStart(ctx context.Context) error {
	if s.run.Data.plan.RestartAtOnce {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	status, body, err := fleet.Get(ctx, "http://"+s.host.agentHTTP+"/startz")
	if err != nil {
		return err
	}
	return fleet.StatusOK(status, body)
}

// restart starts the server if it should run.
func (s *supervisor) restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || s.host.Running() {
		return nil
	}
	options, err := s.host.options()
	if err != nil {
		return err
	}
	err = s.host.Start(ctx, options...)
	s.host.ExpectEnd() // its agent may kill it
	return err
}

// options are in the file that the agent writes and the server's my.cnf would include. There may be none yet.
func (h *DBHost) options() ([]string, error) {
	data, err := os.ReadFile(h.conf)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what %s is to be started with: %w", h.Name(), err)
	}
	var options []string
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			options = append(options, "--"+strings.TrimSpace(key)+"="+strings.TrimSpace(value))
		}
	}
	return options, nil
}

// KillServer is kill -9 of the database. It stays down until Raise.
func (h *DBHost) KillServer() error {
	h.host.mu.Lock()
	defer h.host.mu.Unlock()
	h.host.down = true
	return h.Maria.Kill()
}

// Raise resumes the host's server and its agent, or lets them be started again. They are ready later.
func (h *DBHost) Raise() error {
	h.host.mu.Lock()
	h.host.down = false
	h.host.mu.Unlock()
	if err := h.Resume(); err != nil && !errors.Is(err, fleet.ErrNotRunning) && h.Running() {
		return err
	}
	return up(h.Agent)
}

// up resumes or starts a process without waiting until it is ready: what it waits for may come later.
func up(p *fleet.Proc) error {
	if p.Running() {
		return p.Resume()
	}
	return p.Launch()
}
