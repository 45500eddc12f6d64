package cluster

import (
	"context"
	"fmt"
	"io"

	"github.com/zerokeeper/zero/fsm"
)

// Snapshot writes a snapshot of a linearizable state to w, in package fsm's
// format. Nothing is written to this keeper's disk.
func (n *Node) Snapshot(ctx context.Context, w io.Writer) (*fsm.State, error) {
	state, err := n.Linearizable(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := state.WriteTo(w); err != nil {
		return nil, fmt.Errorf("save snapshot: %w", err)
	}
	return state, nil
}
