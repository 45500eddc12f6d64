package proxy

import (
	"context"
	"sync"
	"time"
)

// probeResult is what the last probes of a datasource found.
type probeResult struct {
	Address     string
	LastSuccess time.Time // zero: never
	Failures    int       // in a row
	Error       string    // of the last probe, empty when it succeeded
}

// prober logs in to the writable datasource of one host group again and again.
// What it found is the evidence of this proxy's vote.
type prober struct {
	probe func(ctx context.Context, address string) error // logs in and pings
	now   func() time.Time

	mu       sync.Mutex
	interval time.Duration
	result   probeResult
}

// record takes down one probe. Results of an address that is not the writable
// one any more are forgotten.
func (p *prober) record(address string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.result.Address != address {
		p.result = probeResult{Address: address}
	}
	if err == nil {
		p.result.LastSuccess, p.result.Failures, p.result.Error = p.now(), 0, ""
		return
	}
	p.result.Failures++
	p.result.Error = err.Error()
}

func (p *prober) snapshot() probeResult {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.result
}

func (p *prober) setInterval(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interval = d
}

func (p *prober) pause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.interval
}

// run probes what writable names until ctx ends. A probe takes at most as long
// as the pause between two, but never less than probeFloor.
func (p *prober) run(ctx context.Context, writable func() (address string, ok bool)) {
	const probeFloor = time.Second
	for {
		if address, ok := writable(); ok {
			attempt, cancel := context.WithTimeout(ctx, max(p.pause(), probeFloor))
			err := p.probe(attempt, address)
			cancel()
			if ctx.Err() != nil {
				return
			}
			p.record(address, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(p.pause()):
		}
	}
}
