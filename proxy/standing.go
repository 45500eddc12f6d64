package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// standing is the proxy's place on the keepers' list. A switch waits for the
// proxies on that list, so one that is not on it must not write: serving is
// true only between an answer that shows it there and whatever takes it off.
type standing struct {
	status     string // ready, up or unreg
	registered bool   // since the start, or the last activation
	leaving    bool   // on its way out: what the keepers answer meanwhile does not bring it back
	// life is raised when the proxy is taken out of service or put back: an
	// answer to a heartbeat of an earlier life is late.
	life uint64
}

// Status is what the proxy says of itself: ready, up or unreg.
func (p *Proxy) Status() string { return p.stand().status }

func (p *Proxy) stand() standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.standing
}

// registered notes that the keepers took the registration.
func (p *Proxy) registered(life uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.standing.life == life {
		p.standing.registered = true
	}
}

// counted takes over what the keepers say of this proxy in answer to a heartbeat
// of the given life, and reports whether its grants are to be obeyed.
func (p *Proxy) counted(life uint64, status string) bool {
	p.mu.Lock()
	s := &p.standing
	if s.life != life || s.leaving || s.status == api.StatusUnreg {
		p.mu.Unlock()
		return false
	}
	if status != "" && status != api.StatusUnreg {
		p.serving.Store(true)
		p.mu.Unlock()
		return true
	}
	p.serving.Store(false)
	s.life++
	if status == api.StatusUnreg {
		s.status = api.StatusUnreg
	} else { // it was silent for so long that it was forgotten
		s.status, s.registered = api.StatusReady, false
	}
	now := s.status
	p.mu.Unlock()

	p.log.Warn("this proxy is not on the keepers' list: writes are held", "status", now)
	p.stopGroups("not on the keepers' list")
	p.poke()
	return false
}

// becomeUp: a proxy with a configuration, on the list, is up.
func (p *Proxy) becomeUp(life uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.live.Load(); p.standing.life == life && p.standing.status == api.StatusReady && now.conf != nil {
		p.standing.status = api.StatusUp
		p.log.Info("up", "config", now.ConfigID)
		p.poke() // the keepers should know at once
	}
}

// stopGroups holds every host group. New ones start held.
func (p *Proxy) stopGroups(why string) {
	for _, g := range p.live.Load().groups {
		g.stop(why)
	}
}

// UnregisterProxyProcessor takes this proxy out of service until it is
// activated. It answers when nothing is in flight, since no switch waits for it
// after that. If that does not come to pass in time, it goes on as before.
func (p *Proxy) UnregisterProxyProcessor(ctx context.Context, _ *wire.Request, body api.UnregisterProxyRequest) (any, error) {
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.Status() == api.StatusUnreg {
		return nil, nil
	}
	p.mu.Lock()
	p.standing.leaving = true
	p.standing.life++
	p.mu.Unlock()
	p.serving.Store(false)
	p.stopGroups("being unregistered")
	err := p.drain(ctx)

	p.mu.Lock()
	p.standing.leaving = false
	if err == nil {
		p.standing.status = api.StatusUnreg
	}
	p.mu.Unlock()
	p.poke() // the next answer opens the groups again, or confirms that they are held
	if err != nil {
		p.log.Warn("not unregistered: writes go on", "error", err)
		return nil, api.Errorf(api.DrainTimeout, "this proxy goes on as before: %v", err)
	}
	p.log.Warn("unregistered: writes are held", "reason", clip(body.Reason, maxConfError))
	return nil, nil
}

// drain waits until nothing is in flight in any host group, at most as long as
// their configuration allows.
func (p *Proxy) drain(ctx context.Context) error {
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for _, g := range p.live.Load().groups {
		all.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, g.drainBound())
			defer cancel()
			if err := g.gate.Drain(bounded); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (g *group) drainBound() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.drainTimeout
}

// ActivateProxyProcessor makes this proxy start over: register, fetch the
// configuration, up. One that was out of service writes again when a keeper has
// it on the list; one that was not goes on meanwhile.
func (p *Proxy) ActivateProxyProcessor(context.Context, *wire.Request, api.ActivateProxyRequest) (any, error) {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.mu.Lock()
	p.standing.status, p.standing.registered = api.StatusReady, false
	p.standing.life++
	p.refused, p.confError = "", "" // to be tried again
	p.mu.Unlock()
	p.log.Info("activated")
	p.poke()
	return nil, nil
}

// Leave unregisters the proxy for good. It is called when the data plane has
// ended: until then a switch must wait for this proxy. The keepers refuse it to
// the last one that is up.
func (p *Proxy) Leave(ctx context.Context, link Link, reason string) error {
	p.mu.Lock()
	p.standing.leaving = true
	p.standing.life++
	p.mu.Unlock()
	p.serving.Store(false)
	p.stopGroups("leaving") // R5: the lease is given up
	return p.call(ctx, link, api.ProxyUnregister, api.ProxyUnregisterRequest{Reason: reason, Released: true}, nil)
}
