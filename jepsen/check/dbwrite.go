package check

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DBWrite is one write of a client to a database, by way of a proxy: Parts rows with the same ID, in one transaction. It
// was sent once. Times are monotonic, since the run's start.
type DBWrite struct {
	ID     int64         `json:"id"`
	Parts  int           `json:"parts"`
	Client int           `json:"client"`
	Proxy  string        `json:"proxy"`
	Call   time.Duration `json:"call"`
	Return time.Duration `json:"return"` // when the client knew what it knows
	// Outcome is OK when it was acknowledged, Failed when it surely was not done and never will be, Unknown when in doubt.
	Outcome Outcome `json:"outcome"`
	GTID    string  `json:"gtid,omitempty"` // domain-server-sequence, as acknowledged
	Error   string  `json:"error,omitempty"`
}

// String is the write in short.
func (w DBWrite) String() string {
	text := fmt.Sprintf("write %d by %s, %v to %v: %s %s", w.ID, w.Proxy, w.Call.Round(time.Millisecond), w.Return.Round(time.Millisecond), w.Outcome, w.GTID)
	return strings.TrimSpace(text + " " + w.Error)
}

// DBHistory collects the writes of all clients. The zero value is empty; its methods may be called by any goroutine.
type DBHistory struct {
	mu     sync.Mutex
	writes []DBWrite
}

// Add records a write that ended or that its client gave up. At most MaxOps are kept; the last one spoils the history.
func (h *DBHistory) Add(w DBWrite) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.writes) >= MaxOps {
		return fmt.Errorf("%w: more than %d writes", ErrHistory, MaxOps)
	}
	h.writes = append(h.writes, w)
	return nil
}

// Writes is a copy, in the order of the calls.
func (h *DBHistory) Writes() []DBWrite {
	h.mu.Lock()
	defer h.mu.Unlock()
	writes := slices.Clone(h.writes)
	slices.SortStableFunc(writes, func(a, b DBWrite) int { return int(a.Call - b.Call) })
	return writes
}

// WriteJSONL writes the writes, one a line.
func (h *DBHistory) WriteJSONL(w io.Writer) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	for _, w := range h.Writes() {
		if err := enc.Encode(w); err != nil {
			return fmt.Errorf("write history: %w", err)
		}
	}
	return out.Flush()
}

// GTID names a transaction as MariaDB does: who wrote it, and its place in the order of its domain.
type GTID struct {
	Domain, Server uint32
	Seq            uint64
}

// ParseGTID reads domain-server-sequence.
func ParseGTID(s string) (GTID, error) {
	parts := strings.Split(s, "-")
	if len(parts) != 3 {
		return GTID{}, fmt.Errorf("%q is no GTID", s)
	}
	var n [3]uint64
	for i, bits := range [3]int{32, 32, 64} {
		var err error
		if n[i], err = strconv.ParseUint(parts[i], 10, bits); err != nil {
			return GTID{}, fmt.Errorf("%q is no GTID: %w", s, err)
		}
	}
	return GTID{uint32(n[0]), uint32(n[1]), n[2]}, nil
}

// String is domain-server-sequence.
func (g GTID) String() string { return fmt.Sprintf("%d-%d-%d", g.Domain, g.Server, g.Seq) }

// ParseGTIDs reads a list with commas between, such as @@gtid_binlog_state. The empty list is none.
func ParseGTIDs(s string) ([]GTID, error) {
	var list []GTID
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		g, err := ParseGTID(part)
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, nil
}

// acknowledged are the writes with an OK, and their GTIDs where they came with one.
func acknowledged(f *finding, writes []DBWrite) (acked []DBWrite, gtids []GTID) {
	without := 0
	for _, w := range writes {
		if w.Outcome != OK {
			continue
		}
		g, err := ParseGTID(w.GTID)
		if err != nil {
			without++
			continue
		}
		acked, gtids = append(acked, w), append(gtids, g)
	}
	f.stat("acknowledged", len(acked)+without)
	f.stat("withoutGTID", without)
	return acked, gtids
}
