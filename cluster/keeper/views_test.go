package keeper

import (
	"slices"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
)

// What an agent said last is not shown as what is: the host may be gone.
func TestSilentAgentIsSaid(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, short)
	silence := f.beating()
	f.agents[1].set(func(a *actor) { a.readOnly = false })
	f.agents[1].beat()
	silence(f.agents[1])
	var view api.ClusterViewAnswer
	eventually(t, "its agent is said to be silent", func() bool {
		f.must(api.ClusterView, struct{}{}, &view)
		return slices.ContainsFunc(view.Problems, func(p string) bool { return strings.Contains(p, db1) && strings.Contains(p, "its agent is silent for") })
	})
	if slices.ContainsFunc(view.Problems, func(p string) bool { return strings.Contains(p, "not read-only") }) {
		t.Errorf("it is said to be writable: %v", view.Problems)
	}
}

// An agent that is up and whose server refuses it (a password that is not the server's) is no healthy datasource.
func TestMuteServerIsSaid(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, tuning{})
	k := f.leader().keeper.Load()
	if k.serverMute(db1) {
		t.Error("it is said to be mute before it is")
	}
	f.agents[1].set(func(a *actor) {
		a.says = func(b *api.AgentHeartbeatRequest) { b.Role, b.MySQL.Status = "", 0 }
	})
	f.agents[1].beat()
	var view api.ClusterViewAnswer
	f.must(api.ClusterView, struct{}{}, &view)
	if !slices.ContainsFunc(view.Problems, func(p string) bool { return strings.Contains(p, db1) && strings.Contains(p, "does not answer it") }) {
		t.Errorf("problems: %v", view.Problems)
	}
}
