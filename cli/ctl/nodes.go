package ctl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// node is a keeper as it answers for itself, or why it does not.
type node struct {
	Endpoint  string                `json:"endpoint"`
	Reachable bool                  `json:"reachable"`
	Error     string                `json:"error,omitempty"`
	Status    *api.NodeStatusAnswer `json:"status,omitempty"`
}

// askNodes asks every endpoint for its own view, all at the same time, each for
// at most nodeTimeout. The order of the answer is that of the endpoints.
func (a *app) askNodes(ctx context.Context, endpoints []string) ([]node, error) {
	client, err := a.connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, min(a.timeout, nodeTimeout))
	defer cancel()
	nodes := make([]node, len(endpoints))
	var asked sync.WaitGroup
	for i, endpoint := range endpoints {
		asked.Go(func() {
			var status api.NodeStatusAnswer
			if err := client.At(ctx, endpoint, api.NodeStatus, struct{}{}, &status); err != nil {
				nodes[i] = node{Endpoint: endpoint, Error: reason(err)}
				return
			}
			nodes[i] = node{Endpoint: endpoint, Reachable: true, Status: &status}
		})
	}
	asked.Wait()
	return nodes, nil
}

// reason is why a keeper did not answer, in a few words.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within " + nodeTimeout.Truncate(time.Millisecond).String()
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok {
		return dial.Err.Error()
	}
	return err.Error()
}

// ask sends a read, after a look at whether any keeper is there at all: without
// one the answer is known at once, not when the timeout is over.
func (a *app) ask(ctx context.Context, name string, out any) error {
	nodes, err := a.askNodes(ctx, a.keepers)
	if err != nil {
		return err
	}
	if err := noneReachable(nodes); err != nil {
		return err
	}
	return a.read(ctx, name, struct{}{}, out)
}

// noneReachable is an error when nodes were asked and none answered.
func noneReachable(nodes []node) error {
	if len(nodes) == 0 || slices.ContainsFunc(nodes, func(n node) bool { return n.Reachable }) {
		return nil
	}
	return fmt.Errorf("%w: none of %d answered; %s: %s", ErrUnreachable, len(nodes), nodes[0].Endpoint, nodes[0].Error)
}

// endpointsOf joins the members' addresses and those of the command line, each
// once. An address of the command line that names a member under another
// spelling (a name for an IP) is found by askMembers.
func endpointsOf(members []api.Member, keepers []string) []string {
	var out []string
	for _, m := range members {
		if m.Address != "" && !slices.Contains(out, m.Address) {
			out = append(out, m.Address)
		}
	}
	for _, k := range keepers {
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// member is a row of "member list": what the group says of a keeper and what
// the keeper says of itself.
type member struct {
	api.Member
	node
	Known bool `json:"known"` // to the group; else only --keepers names it
}

// askMembers asks every member and every keeper of the command line. A keeper
// that is a member under another address is shown once.
func (a *app) askMembers(ctx context.Context, known []api.Member) ([]member, error) {
	nodes, err := a.askNodes(ctx, endpointsOf(known, a.keepers))
	if err != nil {
		return nil, err
	}
	var out []member
	for _, m := range known {
		row := member{Member: m, Known: true, node: node{Endpoint: m.Address, Error: "its address is not known"}}
		for _, n := range nodes {
			// The member's own answer, under whichever address it came.
			if n.Status != nil && n.Status.MemberID == m.ID {
				row.node = n
				break
			}
			if n.Endpoint == m.Address {
				row.node = n
			}
		}
		if row.Reachable && row.Status.MemberID != m.ID {
			row.node = node{Endpoint: m.Address, Error: "another keeper answers at its address: " + row.Status.Name}
		}
		out = append(out, row)
	}
	for _, n := range nodes {
		same := func(row member) bool {
			return row.Endpoint == n.Endpoint || row.Address == n.Endpoint ||
				(n.Status != nil && row.ID == n.Status.MemberID)
		}
		if slices.ContainsFunc(out, same) {
			continue
		}
		row := member{node: n, Member: api.Member{Address: n.Endpoint}}
		if s := n.Status; s != nil {
			row.Member = api.Member{ID: s.MemberID, Name: s.Name, Address: n.Endpoint, HTTP: s.HTTP, Version: s.Version, Leader: s.State == "leader"}
		}
		out = append(out, row)
	}
	slices.SortStableFunc(out, func(a, b member) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// troubles are what the answers of the members say is wrong.
func troubles(members []member) []string {
	var out []string
	for _, m := range members {
		name := m.Name
		if name == "" {
			name = m.Endpoint
		}
		switch {
		case !m.Reachable && m.Known:
			out = append(out, "keeper "+name+" ("+m.Endpoint+") is not reachable from here: "+m.Error)
		case !m.Reachable:
			out = append(out, "--keepers names "+m.Endpoint+", which is not reachable: "+m.Error)
		case !m.Known && m.Status.ClusterID != "":
			out = append(out, "--keepers names "+m.Endpoint+", which is no member of this group")
		case !m.Status.Ready:
			out = append(out, "keeper "+name+" ("+m.Endpoint+") is not ready")
		}
	}
	return append(out, disagreements(members)...)
}

// disagreements are keepers whose states differ at the same index.
func disagreements(members []member) []string {
	hashes := map[uint64]member{}
	for _, m := range members {
		if m.Status == nil || !m.Known || m.Status.HashIndex == 0 || m.Status.Hash == "" {
			continue
		}
		first, ok := hashes[m.Status.HashIndex]
		if !ok {
			hashes[m.Status.HashIndex] = m
			continue
		}
		if first.Status.Hash != m.Status.Hash {
			return []string{"the states of keepers " + first.Name + " and " + m.Name + " differ: take a snapshot of each data directory and stop the one whose log says so"}
		}
	}
	return nil
}
