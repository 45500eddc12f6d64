package switches

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/load"
)

const (
	watched   = 5 * time.Second       // after a leader is lost
	lookEvery = 10 * time.Millisecond // at the agent's silence
	silence   = "zero_agent_keeper_silence_seconds "
	fencedLog = "no lease allows this server to be writable"
)

// Loss is one kind of the leader's loss. Times are in milliseconds.
type Loss struct {
	Build  string `json:"build"`
	How    string `json:"how"`
	Count  int    `json:"count"`
	Gap    Spread `json:"gap_ms"` // longest time between two answers to the primary's agent
	Fenced int    `json:"fenced"` // times that the primary became read-only
	Errors int    `json:"errors"` // of clients
}

// Elections measures what a leader that is killed, and one that is stopped, does to
// the lease of the primary's agent: count times each, under load.
func Elections(ctx context.Context, out io.Writer, o Options) (losses []Loss, err error) {
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	for _, a := range o.Arms {
		r, err := o.start(ctx, a)
		if err != nil {
			return losses, err
		}
		for _, how := range []string{"killed", "paused"} {
			var loss Loss
			if loss, err = r.lose(ctx, how); err != nil {
				break
			}
			losses = append(losses, loss)
			fmt.Fprintf(out, "build %s: leader %s %d times: longest gap between lease renewals p50 %.0f ms, p95 %.0f ms, max %.0f ms; fenced %d times, %d client errors\n",
				loss.Build, how, loss.Count, loss.Gap.P50, loss.Gap.P95, loss.Gap.Max, loss.Fenced, loss.Errors)
		}
		if err != nil {
			r.fleet.Fail()
		}
		if err = errors.Join(err, r.close()); err != nil {
			return losses, err
		}
	}
	return losses, nil
}

func (r *arm) lose(ctx context.Context, how string) (Loss, error) {
	loss := Loss{Build: r.Name, How: how}
	agent := r.stage.Agents[r.primary]
	fenced, err := occurrences(agent.LogPath(), fencedLog)
	if err != nil {
		return loss, err
	}
	l := r.write(ctx)
	defer l.Stop()
	var gaps []float64
	for ; loss.Count < r.opts.Count; loss.Count++ {
		if err := r.stage.Healthy(ctx); err != nil {
			return loss, err
		}
		gap, err := r.loseOnce(ctx, how, agent)
		if err != nil {
			return loss, err
		}
		gaps = append(gaps, ms(gap))
	}
	after, err := occurrences(agent.LogPath(), fencedLog)
	loss.Gap, loss.Fenced = spread(gaps), after-fenced
	for _, n := range load.Count(l.Failures(l.Span())) {
		loss.Errors += n
	}
	return loss, err
}

// loseOnce is the longest silence of keepers at the agent after the leader was lost.
func (r *arm) loseOnce(ctx context.Context, how string, agent *fleet.Agent) (longest time.Duration, err error) {
	leader, err := r.fleet.Leader(ctx)
	if err != nil {
		return 0, err
	}
	back := func() error { return leader.Start(ctx) }
	if how == "paused" {
		back, err = leader.Resume, leader.Pause(ctx)
	} else {
		err = leader.Kill()
	}
	if err != nil {
		return 0, err
	}
	for begin := time.Now(); time.Since(begin) < watched && err == nil; {
		var now time.Duration
		if now, err = silent(ctx, agent); err == nil {
			longest = max(longest, now)
			err = wait(ctx, lookEvery)
		}
	}
	return longest, errors.Join(err, back())
}

// silent is how long no keeper has answered the agent.
func silent(ctx context.Context, agent *fleet.Agent) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, agent.URL("/metrics"), nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(text), "\n"+silence)
	if !found {
		return 0, errors.New("the agent's metrics do not say how long no keeper answered")
	}
	value, _, _ := strings.Cut(rest, "\n")
	seconds, err := strconv.ParseFloat(value, 64)
	return time.Duration(seconds * float64(time.Second)), err
}

// occurrences counts a text in a log.
func occurrences(path, text string) (int, error) {
	data, err := os.ReadFile(path)
	return strings.Count(string(data), text), err
}
