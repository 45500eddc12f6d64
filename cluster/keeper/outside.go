package keeper

import (
	"strings"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// isOutside reports whether a server takes no part in the replication of its group:
// it has no source, or it is errant, and what it would receive from begins with a
// transaction of its own.
func isOutside(state api.AgentState) bool {
	return state.Outside || state.Unfit != "" && state.ServerID != "" && ofServer(receivedOf(state), state.ServerID) != ""
}

// outside is what such a server means for a failover (R19): an old primary that
// waits for a rebuild, say. It has stopped to receive, for its agent keeps it so. What
// it can have of what the old primary acknowledged it has received from others, or it
// is in its binary log, under the old primary's server_id. What it wrote itself is
// errant, and counts for nothing. Without that server_id nothing can be said, and it
// counts as one that was not reached.
func outside(c contender, s *fsm.Switch, state api.AgentState) contender {
	c.outside, c.excluded = true, "it is errant"
	if state.Outside {
		c.excluded = "it does not replicate"
	}
	if state.Unfit != "" {
		c.excluded += ": " + state.Unfit
	}
	if s.FromServer == "" || state.Binlog == nil {
		c.stopped, c.received = false, ""
		return c
	}
	c.own = ofServer(state.Binlog.GTIDBinlogState, state.ServerID)
	var has []string
	for part := range strings.SplitSeq(receivedOf(state), ",") {
		if part = strings.TrimSpace(part); part != "" && ofServer(part, state.ServerID) == "" {
			has = append(has, part)
		}
	}
	if own := ofServer(state.Binlog.GTIDBinlogState, s.FromServer); own != "" {
		has = append(has, own)
	}
	c.received = strings.Join(has, ",")
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
