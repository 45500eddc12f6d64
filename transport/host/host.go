package host

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/zerokeeper/zero/transport/api"
)

// SystemInfo is the machine as it is now. CPULoad is the share of time that its
// processors were busy since the call before; 0 at the first one.
func SystemInfo() api.SystemInfo {
	var info api.SystemInfo
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		info.LoadAvg = parseLoad(string(data))
	}
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		info.MemLoad = parseMemory(data)
	}
	if data, err := os.ReadFile("/proc/stat"); err == nil {
		info.CPULoad = cpu.since(parseCPU(data))
	}
	return info
}

// parseLoad reads "0.52 0.58 0.59 1/467 12345".
func parseLoad(text string) api.LoadAvg {
	var values [3]float64
	for i, field := range strings.Fields(text) {
		if i == len(values) {
			break
		}
		v, err := strconv.ParseFloat(field, 64)
		if err != nil || !finite(v) {
			return api.LoadAvg{}
		}
		values[i] = v
	}
	return api.LoadAvg{Avg1Min: values[0], Avg5Min: values[1], Avg15Min: values[2]}
}

// parseMemory is the share of memory that is not available.
func parseMemory(data []byte) float64 {
	var total, available float64
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		value, err := strconv.ParseFloat(fields[0], 64)
		if err != nil || !finite(value) {
			continue
		}
		switch name {
		case "MemTotal":
			total = value
		case "MemAvailable":
			available = value
		}
	}
	if total <= 0 || available < 0 || available > total {
		return 0
	}
	return 1 - available/total
}

// finite reports whether JSON has the number: one that it has not would keep a
// heartbeat from being sent.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// times are ticks of all processors since the machine started.
type times struct{ busy, all uint64 }

// parseCPU reads the line "cpu user nice system idle iowait irq softirq steal".
func parseCPU(data []byte) times {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 5 || fields[0] != "cpu" {
		return times{}
	}
	var t times
	for i, field := range fields[1:min(len(fields), 9)] {
		v, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return times{}
		}
		t.all += v
		if i != 3 && i != 4 { // idle, iowait
			t.busy += v
		}
	}
	return t
}

// meter remembers the last reading.
type meter struct {
	mu   sync.Mutex
	last times
}

var cpu meter

func (m *meter) since(now times) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.last
	m.last = now
	if before.all == 0 || now.all <= before.all || now.busy < before.busy {
		return 0
	}
	return float64(now.busy-before.busy) / float64(now.all-before.all)
}
