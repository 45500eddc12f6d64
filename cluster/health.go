package cluster

import (
	"context"

	"github.com/zerokeeper/zero/transport/api"
)

// Check is a named reason to be unhealthy: Run is nil when all is well, else its
// error says what is not.
type Check struct {
	Name string
	// Live: its failure means that the process should be restarted. Every check
	// is a reason to get no requests now.
	Live bool
	Run  func(ctx context.Context) error
}

// Checks are what a monitor should ask of this node.
func (n *Node) Checks() []Check {
	return []Check{
		{"running", true, func(context.Context) error { return n.usable() }},
		{"member", false, func(context.Context) error { return n.joined() }},
		{"leader", false, func(context.Context) error { return n.contact() }},
		{"caught-up", false, func(context.Context) error { return n.caughtUp() }},
		{"disk", false, func(context.Context) error { return n.stores.space.alarm() }},
	}
}

// Leading is nil when this node leads and its state holds everything of the
// terms before; else its error says who leads.
func (n *Node) Leading() error {
	if err := n.usable(); err != nil {
		return err
	}
	term, leading := n.leads()
	if !leading {
		return n.notLeader()
	}
	if !n.tenures.barrierDone(term) {
		return api.Errorf(api.NotReady, "elected in term %d, not complete yet", term)
	}
	return nil
}
