package ctl

import (
	"context"
	"errors"
	"fmt"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

// DiscoverMySQL is Discover on real servers.
func DiscoverMySQL(ctx context.Context, r DiscoverRequest) (*Topology, error) {
	login := mysql.Login{User: r.User, Password: func() (string, error) { return r.Password.Reveal(), nil }}
	found, err := mysql.Discover(ctx, r.Primary, mysql.DiscoverOptions{
		Login:    func(string) (mysql.Login, error) { return login, nil },
		SemiSync: true,
	})
	switch {
	case errors.Is(err, mysql.ErrUnreachable):
		return nil, failed(api.MySQLUnreachable, "%w", err)
	case err != nil:
		return nil, failed(api.MySQLQuery, "%w", err)
	}
	return topologyOf(found), nil
}

// topologyOf keeps of a discovery what an operator needs: the servers, and the
// rules that they fail.
func topologyOf(found mysql.Topology) *Topology {
	t := &Topology{Primary: serverOf(found.Primary), Replicas: []Server{}, Findings: findingsAbout(found.Primary)}
	for _, m := range found.Replicas {
		if m.Address != "" {
			t.Replicas = append(t.Replicas, serverOf(m))
		}
		t.Findings = append(t.Findings, findingsAbout(m)...)
	}
	return t
}

func serverOf(m mysql.Member) Server {
	return Server{Address: m.Address, Version: m.State.Version, ReadOnly: m.State.ReadOnly, Reachable: m.State.Reachable}
}

// findingsAbout are the rules that a server fails. Semi-sync is advice: its
// agent turns it on.
func findingsAbout(m mysql.Member) []Finding {
	name := m.Address
	if name == "" {
		name = fmt.Sprintf("server_id %d", m.ServerID)
	}
	out := []Finding{}
	for _, f := range m.Findings {
		if !f.OK {
			out = append(out, Finding{Server: name, Rule: f.Rule, Problem: f.Rule != mysql.RuleSemiSync, Input: f.Input, Detail: f.Detail})
		}
	}
	return out
}
