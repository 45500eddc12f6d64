package api

import "cmp"

// States of a recorded replica (R17, R20).
const (
	ReplicaJoining = "joining" // it may acknowledge, and is not promotable yet
	ReplicaMember  = "member"
	ReplicaLeaving = "leaving" // it may not acknowledge any more, and has not confirmed it yet
)

// Moment is a place in the keepers' log. Whoever acted on what was said at a
// moment knows of every change of the record up to there.
type Moment struct {
	Epoch uint64 `json:"epoch"` // of the cluster: a restore raises it, and indexes begin anew
	Index uint64 `json:"index"`
}

// Compare is -1, 0 or 1.
func (m Moment) Compare(o Moment) int {
	return cmp.Or(cmp.Compare(m.Epoch, o.Epoch), cmp.Compare(m.Index, o.Index))
}

// SemiSync is a server's part in semi-synchronous replication, in the heartbeats
// of its agent. It is what the agent left when it had acted on Acted.
type SemiSync struct {
	Managed bool   `json:"managed"`          // the agent sees to it
	Known   bool   `json:"known"`            // the server answers; else nothing of the rest is known
	Acted   Moment `json:"acted,omitzero"`   // newest answer that was acted on, completely
	Source  bool   `json:"source"`           // commits wait for an acknowledgement
	Clients int    `json:"clients"`          // replicas that are connected and acknowledge
	Waiting int    `json:"waiting"`          // sessions whose commits wait now
	WaitMS  int64  `json:"waitMs,omitempty"` // for which sessions wait and none was acknowledged
	// Replica: it acknowledges, or will when it receives. False only when the server
	// is confirmed not to, and the agent turns it on for nothing but a newer grant.
	Replica bool `json:"replica"`
}

// ReplicaDropRequest takes a recorded replica out of the record of its group by
// force: nobody confirms that it acknowledges nothing, and what it alone has
// acknowledged is not counted any more.
type ReplicaDropRequest struct {
	HostGroup string `json:"hostGroup"`
	Address   string `json:"address"`
	Reason    string `json:"reason"`
}

// Degraded says since when commits of a group wait for no acknowledgement, and why.
type Degraded struct {
	SinceMS   int64  `json:"sinceMs"` // unix milliseconds
	Why       string `json:"why"`
	By        string `json:"by"`
	Restoring bool   `json:"restoring,omitempty"` // they are about to wait again
}
