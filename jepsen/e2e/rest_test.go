package e2e

import (
	"context"
	"testing"
)

func (s *scene) badConfigs(t *testing.T, ctx context.Context)      {}
func (s *scene) configs(t *testing.T, ctx context.Context)         {}
func (s *scene) configRefused(t *testing.T, ctx context.Context)   {}
func (s *scene) switchesRefused(t *testing.T, ctx context.Context) {}
func (s *scene) drainTimeout(t *testing.T, ctx context.Context)    {}
func (s *scene) abort(t *testing.T, ctx context.Context)           {}
func (s *scene) proxiesLeave(t *testing.T, ctx context.Context)    {}
func (s *scene) proxyStops(t *testing.T, ctx context.Context)      {}
func (s *scene) proxyKilled(t *testing.T, ctx context.Context)     {}
