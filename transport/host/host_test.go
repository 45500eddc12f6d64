package host

import (
	"testing"

	"github.com/zerokeeper/zero/transport/api"
)

func TestParse(t *testing.T) {
	if got, want := parseLoad("0.52 0.58 0.59 1/467 12345\n"), (api.LoadAvg{Avg1Min: 0.52, Avg5Min: 0.58, Avg15Min: 0.59}); got != want {
		t.Errorf("load %+v, want %+v", got, want)
	}
	for _, garbage := range []string{"x y z", "NaN 1 2", "1 +Inf 2", ""} {
		if got := parseLoad(garbage); got != (api.LoadAvg{}) {
			t.Errorf("%q is the load %+v", garbage, got)
		}
	}
	if got := parseMemory([]byte("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    250 kB\n")); got != 0.75 {
		t.Errorf("memory %v, want 0.75", got)
	}
	for _, garbage := range []string{"MemTotal: x\n\n:\n", "MemTotal: NaN kB\nMemAvailable: 1 kB\n", "MemTotal: 1 kB\nMemAvailable: -Inf kB\nMemAvailable: -2 kB\n"} {
		if got := parseMemory([]byte(garbage)); got != 0 {
			t.Errorf("%q is the memory load %v", garbage, got)
		}
	}
	if got, want := parseCPU([]byte("cpu  10 1 4 80 5 0 0 0 0 0\ncpu0 1\n")), (times{15, 100}); got != want {
		t.Errorf("cpu %+v, want %+v", got, want)
	}
}

func TestMeter(t *testing.T) {
	var m meter
	if got := m.since(times{10, 100}); got != 0 {
		t.Errorf("the first reading is %v", got)
	}
	if got := m.since(times{60, 200}); got != 0.5 {
		t.Errorf("half busy is %v", got)
	}
	if got := m.since(times{0, 50}); got != 0 {
		t.Errorf("a counter that fell is %v", got)
	}
}

func TestSystemInfoOfThisMachine(t *testing.T) {
	SystemInfo()
	info := SystemInfo()
	if info.MemLoad < 0 || info.MemLoad > 1 || info.CPULoad < 0 || info.CPULoad > 1 || info.LoadAvg.Avg1Min < 0 {
		t.Errorf("%+v", info)
	}
}
