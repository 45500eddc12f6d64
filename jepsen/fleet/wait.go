package fleet

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	readyInterval = 20 * time.Millisecond // between two probes of a process's readiness
	probeTimeout  = 2 * time.Second       // of one probe
	maxProbeBody  = 1 << 20               // bytes of an HTTP answer that a probe reads
	maxLogTail    = 64 << 10              // bytes at a log's end that LogTail looks at
)

// Eventually calls fn until it returns nil, at once and then every interval, each call with a context of at most two
// seconds. When ctx is done, it returns the cause with fn's last error; a ctx without an end is refused.
func Eventually(ctx context.Context, interval time.Duration, fn func(context.Context) error) error {
	if _, bounded := ctx.Deadline(); !bounded && ctx.Done() == nil {
		return fmt.Errorf("wait: the context has neither deadline nor cancellation")
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, probeTimeout)
		err := fn(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}

// probeClient keeps no connection: a fleet's servers come and go, and a test looks for goroutines left behind.
var probeClient = &http.Client{
	Timeout:   probeTimeout,
	Transport: &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	},
}

// Get fetches url once and returns the status and at most a mebibyte of the body. It takes two seconds at most.
func Get(ctx context.Context, url string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := probeClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxProbeBody))
	return resp.StatusCode, body, err
}

// StatusOK is the usual condition of WaitHTTP: 200.
func StatusOK(status int, body []byte) error {
	if status != http.StatusOK {
		return fmt.Errorf("HTTP status %d: %s", status, strings.TrimSpace(string(body)))
	}
	return nil
}

// WaitHTTP fetches url until cond is content with the answer or ctx is done.
func WaitHTTP(ctx context.Context, url string, cond func(status int, body []byte) error) error {
	err := Eventually(ctx, readyInterval, probeHTTP(url, cond))
	if err != nil {
		return fmt.Errorf("wait for %s: %w", url, err)
	}
	return nil
}

func probeHTTP(url string, cond func(status int, body []byte) error) func(context.Context) error {
	return func(ctx context.Context) error {
		status, body, err := Get(ctx, url)
		if err != nil {
			return err
		}
		return cond(status, body)
	}
}

// WaitHTTP is like the function WaitHTTP and returns also, with the end of the log, when the process ends.
func (p *Proc) WaitHTTP(ctx context.Context, url string, cond func(status int, body []byte) error) error {
	r := p.current()
	if r == nil {
		return fmt.Errorf("wait for %s: %s: %w", url, p.cfg.Name, ErrNotRunning)
	}
	if err := r.until(ctx, probeHTTP(url, cond)); err != nil {
		return fmt.Errorf("wait for %s of %s: %w; the end of its log:\n%s", url, p.cfg.Name, err, p.LogTail(20))
	}
	return nil
}

// Wait waits for the end of the current run.
func (p *Proc) Wait(ctx context.Context) (ExitStatus, error) {
	r := p.current()
	if r == nil {
		return ExitStatus{}, fmt.Errorf("wait for the end of %s: %w", p.cfg.Name, ErrNotRunning)
	}
	select {
	case <-r.done:
		return r.status, nil
	case <-ctx.Done():
		return ExitStatus{}, fmt.Errorf("wait for the end of %s: %w", p.cfg.Name, context.Cause(ctx))
	}
}

// Exited is closed when the current run ends; it is nil before the first Start.
func (p *Proc) Exited() <-chan struct{} {
	if r := p.current(); r != nil {
		return r.done
	}
	return nil
}

// Running tells whether the process runs (a paused one does).
func (p *Proc) Running() bool {
	r := p.current()
	return r != nil && r.alive()
}

// PID is the process id of the current run, or of the last one, or 0 before the first.
func (p *Proc) PID() int {
	if r := p.current(); r != nil {
		return r.pgid
	}
	return 0
}

// LogTail is the last lines of the log, at most 64 KiB of them; a log that cannot be read gives the reason instead.
func (p *Proc) LogTail(lines int) string {
	file, err := os.Open(p.log)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	start := max(info.Size()-maxLogTail, 0)
	text, err := io.ReadAll(io.NewSectionReader(file, start, maxLogTail))
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}
