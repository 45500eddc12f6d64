package api

import (
	"slices"
	"strings"
)

// Requests between the machines of a host group that need no keeper (R18).
const (
	PromiseFailsafe = "PromiseFailsafe" // the primary's agent to a replica's
	BorrowLease     = "BorrowLease"     // a proxy to the primary's agent
)

// Peer is an agent that listens.
type Peer struct {
	Address string `json:"address"` // of its datasource
	Listen  string `json:"listen"`  // host:port of its own
}

// PromiseFailsafeRequest asks a replica's agent to accept no promotion for a
// while, so that the primary may stay writable without a keeper.
type PromiseFailsafeRequest struct {
	HostGroup string `json:"hostGroup"`
	Primary   string `json:"primary"` // address of the asker's datasource
	Stamp     Stamp  `json:"stamp"`   // highest that the asker has seen
	Round     uint64 `json:"round"`   // rises per incarnation of the asker
	LeaseMS   int64  `json:"leaseMs"` // failsafe lease that the asker wants (Df)
}

// PromiseFailsafeAnswer is a promise: it is on the promiser's disk.
type PromiseFailsafeAnswer struct {
	Address   string `json:"address"` // of the promiser's datasource
	Round     uint64 `json:"round"`   // that it answers
	PromiseMS int64  `json:"promiseMs"`
}

// BorrowLeaseRequest asks the primary's agent for a lease, by a proxy that hears
// no keeper.
type BorrowLeaseRequest struct {
	HostGroup string `json:"hostGroup"`
	Stamp     Stamp  `json:"stamp"` // highest that the proxy has seen
}

// BorrowLeaseAnswer is a lent lease: length and what it allows come together.
type BorrowLeaseAnswer struct {
	LeaseMS int64 `json:"leaseMs"` // from the sending of the request
	Grant   Grant `json:"grant"`
}

// PromiseAliveData is the data of a PromiseAlive answer.
type PromiseAliveData struct {
	WaitMS int64 `json:"waitMs"`
}

// JoinPeers is peers in one text, as memories keep them: "address=listen" with
// commas between, in one order. What does not fit is left out.
func JoinPeers(peers []Peer) string {
	list := make([]string, 0, len(peers))
	for _, p := range peers {
		if p.Address != "" && p.Listen != "" && !strings.ContainsAny(p.Address+p.Listen, ",=") {
			list = append(list, p.Address+"="+p.Listen)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

// SplitPeers is the way back.
func SplitPeers(text string) []Peer {
	var peers []Peer
	for entry := range strings.SplitSeq(text, ",") {
		if address, listen, ok := strings.Cut(entry, "="); ok {
			peers = append(peers, Peer{Address: address, Listen: listen})
		}
	}
	return peers
}
