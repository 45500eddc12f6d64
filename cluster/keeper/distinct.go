package keeper

import (
	"fmt"
	"strings"

	"github.com/zerokeeper/zero/fsm"
)

const ruleDistinct = "every datasource is a server of its own"

// checkDistinct: R24: orders name servers by address and identity. Two addresses
// with one identity are one server by two names, or two that replication takes for
// one.
func checkDistinct(state *fsm.State, s *fsm.Switch) fsm.Check {
	seen := map[string]string{}
	var twice []string
	for _, address := range s.Members {
		a := state.Agent(address)
		if a == nil || a.ServerID == "" {
			continue
		}
		if other, ok := seen[a.ServerID]; ok {
			twice = append(twice, fmt.Sprintf("%s and %s are both %q", other, address, a.ServerID))
			continue
		}
		seen[a.ServerID] = address
	}
	return fsm.Check{
		Rule: ruleDistinct, OK: len(twice) == 0, Input: fmt.Sprintf("%d datasources, %d identities", len(s.Members), len(seen)), Detail: strings.Join(twice, "; "),
	}
}
