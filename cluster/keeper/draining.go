package keeper

import "github.com/zerokeeper/zero/fsm"

// draining reports whether proxies may let what is in flight to a group go on,
// under a lease that begins nothing: in *stopping* of a planned switch, for as long as
// it waits for them. It counts like every lease (R2): fencing begins when each proxy
// has answered that nothing is in flight, or W after the last such grant. One that was
// counted out is not brought back by it: a proxy prolongs a lease that lives, and by
// then its own is over (R3). In a failover nobody waits for what is in flight.
func draining(state *fsm.State, g *fsm.HostGroup) bool {
	if g.Step != fsm.StepStopping {
		return false
	}
	s := state.Switch(g.OpenSwitch)
	return s != nil && s.State == fsm.StateStopping && s.Kind == fsm.KindPlanned
}
