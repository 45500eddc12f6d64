package keeper

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// A heartbeat that passed the check for leadership and then met the end of the
// term is answered: its sender asks the next leader instead of waiting.
func TestHeartbeatAtTheEndOfATerm(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, tuning{})
	k := f.members[0].keeper.Load()
	waiting := make(chan error, 1)
	go func() { waiting <- k.proofs.await(t.Context(), false) }()
	if err := <-waiting; err != nil {
		t.Errorf("in a term: %v", err)
	}
	k.proofs.ends()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := k.proofs.await(ctx, false); !errors.Is(err, api.ErrNoLeader) {
		t.Errorf("after a term: %v", err)
	}
	k.proofs.begins()
	if err := k.proofs.await(ctx, false); err != nil {
		t.Errorf("in the next term: %v", err)
	}
}
