package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
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
// then a former primary keeps what nobody acknowledged. Otherwise its agent must have been told by a keeper what the server
// is, and have written so.
func (s *supervisor) mayStart(ctx context.Context) error {
	if s.run.Data.plan.RestartAtOnce {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	silence, err := s.host.keeperSilence(ctx)
	if err != nil {
		return err
	}
	if silence > restartAfter {
		return fmt.Errorf("no keeper has answered the agent of %s for %v", s.host.Name(), silence)
	}
	g, err := s.run.Data.Group(ctx)
	if err != nil {
		return err
	}
	options, err := s.host.options()
	if err != nil {
		return err
	}
	if g.OpenSwitch != "" || g.Primary != s.host.Addr() && len(options) == 0 {
		return fmt.Errorf("the agent of %s does not know what the server is", s.host.Name())
	}
	return nil
}

// keeperSilence is how long no keeper has answered the host's agent.
func (h *DBHost) keeperSilence(ctx context.Context) (time.Duration, error) {
	_, body, err := fleet.Get(ctx, "http://"+h.agentHTTP+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, "zero_agent_keeper_silence_seconds "); ok {
			seconds, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return time.Duration(seconds * float64(time.Second)), err
		}
	}
	return 0, fmt.Errorf("%s does not tell when a keeper answered it", h.Agent.Name())
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
