package wire

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/transport/api"
)

// Config is what an [Invoker] is made with. Zero values mean the defaults that
// are named here.
type Config struct {
	Handler  Handler      // nil: every request is answered UnknownRequest
	Logger   hclog.Logger // nil: quiet
	Counters *Counters    // may be shared by many invokers; nil: not counted elsewhere

	MaxInFlight int // the peer's two-way requests that are handled at once, more are answered Busy; 256
	MaxOneWay   int // the peer's one-way calls that wait their turn, more are dropped and counted; 1024
	MaxHeld     int // bytes of all bodies that are being handled or wait; more are answered Busy; 32 MiB
	MaxPending  int // own calls that wait for an answer; more fail at once; 4096
	MaxQueued   int // bytes that wait to be written; senders wait above it; 4 MiB

	CallTimeout    time.Duration // of calls and requests that come without a deadline; 30 s
	MaxHandlerTime time.Duration // above any deadline that a request names; 10 min
	FrameTimeout   time.Duration // from a frame's first byte to its last; 30 s
	WriteTimeout   time.Duration // of one write, at most twice of it; then the connection is closed; 10 s
	PingInterval   time.Duration // silence after which the peer is asked; 1 s
	PingTimeout    time.Duration // silence after that which ends the connection; 3 s

	// OnError is told of every answer to a Call that is not OK, before the Call
	// returns and on its goroutine. It must not block.
	OnError func(inv *Invoker, err *api.Error)
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Counters == nil {
		c.Counters = new(Counters)
	}
	if c.Handler == nil {
		c.Handler = Handlers(nil).Serve
	}
	for _, f := range c.ints() {
		if *f.value == 0 {
			*f.value = f.preset
		}
	}
	for _, f := range c.durations() {
		if *f.value == 0 {
			*f.value = f.preset
		}
	}
	return c
}

// Validate refuses negative limits and times.
func (c Config) Validate() error {
	for _, f := range c.ints() {
		if *f.value < 0 {
			return fmt.Errorf("invoker config: %s is %d: must not be negative", f.name, *f.value)
		}
	}
	for _, f := range c.durations() {
		if *f.value < 0 {
			return fmt.Errorf("invoker config: %s is %v: must not be negative", f.name, *f.value)
		}
	}
	return nil
}

type setting[T any] struct {
	name   string
	value  *T
	preset T
}

func (c *Config) ints() []setting[int] {
	return []setting[int]{
		{"MaxInFlight", &c.MaxInFlight, 256},
		{"MaxOneWay", &c.MaxOneWay, 1024},
		{"MaxHeld", &c.MaxHeld, 32 << 20},
		{"MaxPending", &c.MaxPending, 4096},
		{"MaxQueued", &c.MaxQueued, 4 << 20},
	}
}

func (c *Config) durations() []setting[time.Duration] {
	return []setting[time.Duration]{
		{"CallTimeout", &c.CallTimeout, 30 * time.Second},
		{"MaxHandlerTime", &c.MaxHandlerTime, 10 * time.Minute},
		{"FrameTimeout", &c.FrameTimeout, 30 * time.Second},
		{"WriteTimeout", &c.WriteTimeout, 10 * time.Second},
		{"PingInterval", &c.PingInterval, time.Second},
		{"PingTimeout", &c.PingTimeout, 3 * time.Second},
	}
}
