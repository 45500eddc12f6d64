package agent

import (
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
)

// hearing is when a replica last heard of its source: what it received, or the
// source's own heartbeats, became more between two looks.
type hearing struct {
	source     string
	heartbeats uint64
	position   uint64
	file       string
	at         time.Time
}

func (h *hearing) look(r *mysql.Replication) {
	if r == nil {
		*h = hearing{}
		return
	}
	if h.source == r.Source() && h.heartbeats == r.Heartbeats && h.position == r.ReadSourcePos && h.file == r.SourceFile {
		return
	}
	first := h.source != r.Source()
	*h = hearing{source: r.Source(), heartbeats: r.Heartbeats, position: r.ReadSourcePos, file: r.SourceFile, at: h.at}
	if first {
		h.at = time.Time{} // it says nothing about when that was
		return
	}
	h.at = time.Now()
}

// ago is the time since then in milliseconds, -1 when it is not known.
func (h *hearing) ago() int64 {
	if h.at.IsZero() {
		return -1
	}
	return time.Since(h.at).Milliseconds()
}
