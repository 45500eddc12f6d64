package keeper

import (
	"strings"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// outside is what a server that does not replicate means for a failover (R19): an old
// primary that is errant and waits for a rebuild, say. It has stopped to receive,
// for its agent keeps it so, and there is no relay log: all that it can have of what
// the old primary acknowledged is in its binary log, under the old primary's
// server_id. What it wrote itself is errant, and counts for nothing. Without that
// server_id nothing can be said, and it counts as one that was not reached.
func outside(c contender, s *fsm.Switch, state api.AgentState) contender {
	c.outside, c.excluded = true, "it does not replicate"
	if state.Unfit != "" {
		c.excluded += ": " + state.Unfit
	}
	if s.FromServer == "" || state.Binlog == nil {
		c.stopped, c.received = false, ""
		return c
	}
	c.received = ofServer(state.Binlog.GTIDBinlogState, s.FromServer)
	return c
}

// ofServer are the GTIDs of a state that have that server_id.
func ofServer(state, server string) string {
	var own []string
	for part := range strings.SplitSeq(state, ",") {
		part = strings.TrimSpace(part)
		if fields := strings.Split(part, "-"); len(fields) == 3 && fields[1] == server {
			own = append(own, part)
		}
	}
	return strings.Join(own, ",")
}
