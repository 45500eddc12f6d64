package api

// How a proxy or the old primary came to write no more.
const (
	ProxyStopped    = "stopped"   // it confirmed that nothing is in flight
	LeaseOut        = "lease out" // it was not reached, and its lease must be over
	FencedConfirmed = "fenced"    // its agent confirmed read_only
	FencedDead      = "dead"      // its agent confirmed that the server's process is gone
)

// SwitchProxy is how one proxy came to write no more.
type SwitchProxy struct {
	Proxy string `json:"proxy"`
	How   string `json:"how"` // ProxyStopped or LeaseOut
	Note  string `json:"note,omitempty"`
}

// SwitchReplica is what one replica had when it stopped to receive.
type SwitchReplica struct {
	Address  string `json:"address"`
	Stopped  bool   `json:"stopped"`            // its agent confirmed that it no longer receives
	Received string `json:"received,omitempty"` // GTID position
	Note     string `json:"note,omitempty"`     // why it was not reached, or not chosen
}
