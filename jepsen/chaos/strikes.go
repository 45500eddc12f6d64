package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// whom is who a strike hits.
type whom string

// The victims. The agent is that of the candidate or of the old primary, as the
// seed says.
const (
	hitLeader   whom = "leader"
	hitFollower whom = "follower"
	hitAgent    whom = "agent"
	hitProxy    whom = "proxy"
	hitPrimary  whom = "primary"
)

var victims5 = []whom{hitLeader, hitFollower, hitAgent, hitProxy, hitPrimary}

// path is the way that a switch is made to go.
type path string

// The paths.
const (
	planned    path = "planned"
	rolledBack path = "rolled back" // planned, and aborted when it has stopped the proxies
	failedOver path = "failover"    // the primary was killed before
)

// plannedStates, undoingStates and failoverStates are the states in which a switch
// of each path can be struck, in their order. Together they are all states but
// superseded, which no driver is in.
var (
	plannedStates = []string{
		fsm.StateRequested, fsm.StatePreflight, fsm.StateVoting, fsm.StateStopping, fsm.StateFencing, fsm.StateCatchingUp,
		fsm.StatePromoting, fsm.StateSwitching, fsm.StateRecovering, fsm.StateRepointing, fsm.StateDone,
	}
	undoingStates  = []string{fsm.StateRollingBack, fsm.StateRolledBack}
	failoverStates = plannedStates
)

// strike is one case of the matrix: on its path, when a process comes to the
// point, the victim is killed or stopped.
type strike struct {
	path   path
	victim whom
	act    act
	// point is a keeper's, that the leader comes to; or the victim's own.
	point string
}

// name is the kind of fault; the case is in the text of the timeline.
func (s strike) name() string { return fmt.Sprintf("%s %s", s.victim, past(s.act)) }

func past(a act) string {
	if a == actStop {
		return "stopped"
	}
	return "killed"
}

// String is the case.
func (s strike) String() string {
	return fmt.Sprintf("%s %s at %s, %s", s.victim, past(s.act), s.point, s.path)
}

// own says whether the point is one of the victim's, not of the leader's.
func (s strike) own() bool { return s.victim == hitLeader || !strings.HasPrefix(s.point, "keeper/") }

// moments are the points of states: before and after each.
func moments(states []string) []string {
	var points []string
	for _, s := range states {
		points = append(points, "keeper/"+s+"/before", "keeper/"+s+"/after")
	}
	return points
}

// orders are the points of a planned switch at those who obey.
var (
	candidateOrders = []string{api.PreflightDatasource, api.PrepareDatasource, api.WaitPosition, api.PromoteDatasource}
	primaryOrders   = []string{api.PreflightDatasource, api.FenceDatasource, api.FollowDatasource}
	proxyOrders     = []string{api.StopWritingProxyDatasource, api.SwitchProxyDatasource, api.RecoverWritingProxyDatasource}
)

// matrix is every case: all victims, killed and stopped, before and after every
// step of all paths; and agents and proxies in the middle of each order.
func matrix() []strike {
	var all []strike
	for _, v := range victims5 {
		for _, a := range []act{actKill, actStop} {
			for _, p := range moments(plannedStates) {
				all = append(all, strike{planned, v, a, p})
			}
			for _, p := range moments(undoingStates) {
				all = append(all, strike{rolledBack, v, a, p})
			}
			if v == hitPrimary {
				continue // it is dead then
			}
			for _, p := range moments(failoverStates) {
				all = append(all, strike{failedOver, v, a, p})
			}
		}
	}
	for _, a := range []act{actKill, actStop} {
		for _, o := range slices.Concat(candidateOrders, primaryOrders) {
			for _, when := range []string{"before", "durable", "after"} {
				if o == api.PreflightDatasource && when == "durable" {
					continue // nothing is to be remembered
				}
				all = append(all, strike{planned, hitAgent, a, "agent/" + o + "/" + when})
			}
		}
		for _, o := range proxyOrders {
			for _, when := range []string{"before", "after"} {
				all = append(all, strike{planned, hitProxy, a, "proxy/" + o + "/" + when})
			}
		}
	}
	return all
}

// others is how many cases of the smoke run are drawn by the seed.
const others = 12

// smoke is the leader killed before and after every step of a planned switch and
// of its way back, and others by the seed.
func smoke(draw *rand.Rand) []strike {
	var picked, rest []strike
	for _, s := range matrix() {
		switch {
		case s.victim == hitLeader && s.act == actKill && s.path != failedOver:
			picked = append(picked, s)
		case s.victim != hitLeader && s.path != failedOver:
			rest = append(rest, s)
		}
	}
	for _, i := range draw.Perm(len(rest))[:others] {
		picked = append(picked, rest[i])
	}
	draw.Shuffle(len(picked), func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
	return picked
}
