package model

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	m := &Model{Scope: scopeNamed(t, "failsafe-write"), Guards: AllGuards}
	tests := []struct {
		name   string
		change func(*State)
		want   Violation
	}{
		{name: "the initial state", change: func(*State) {}},
		{name: "a proxy that writes elsewhere", change: func(s *State) { s.Proxies[0].Index = 1 }, want: RoutesElsewhere},
		{name: "without a lease", change: func(s *State) { s.Proxies[0].Index, s.Proxies[0].Lease = 1, 0 }},
		{name: "held", change: func(s *State) { s.Proxies[0].Index, s.Proxies[0].Open = 1, false }},
		{name: "a second writable server", change: func(s *State) { s.Servers[1].ReadOnly = false }, want: WritableElsewhere},
		{name: "that no live agent watches", change: func(s *State) { s.Servers[1].ReadOnly, s.Servers[1].Process = false, Paused }},
		{name: "a failsafe lease elsewhere", change: func(s *State) { s.Servers[1].Failsafe = 1 }, want: OutlivedFailsafe},
		{name: "a lost write", change: func(s *State) { s.Safe = s.Safe.with(1) }, want: LostWrite},
		{name: "a kept write", change: func(s *State) { s.Safe, s.Servers[0].Transaction = s.Safe.with(1), s.Safe.with(1) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := m.Scope.initial()
			tt.change(&s)
			if got := m.check(&s); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSettle(t *testing.T) {
	m := &Model{Scope: scopeNamed(t, "failsafe"), Guards: AllGuards}
	tests := []struct {
		name   string
		change func(*State)
		want   string
	}{
		{name: "the initial state", change: func(*State) {}},
		{name: "an open switch", change: func(s *State) { m.request(s, 1) }},
		{name: "with the old primary's agent dead", change: func(s *State) { m.request(s, 1); m.crashAgent(&s.Servers[0], 0) }},
		{name: "prepared for what never comes", change: func(s *State) { s.Servers[1].Prepared = 3 }, want: "an agent stays prepared"},
		{name: "a stamp that no keeper knows", change: func(s *State) { s.Proxies[0].Stamp = stamp(4, Stopping); s.Proxies[0].Open = false },
			want: "proxy 0 does not write to the primary"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := m.Scope.initial()
			tt.change(&s)
			got := string(m.settle(s))
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
