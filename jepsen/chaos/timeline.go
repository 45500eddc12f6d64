package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Event is one moment of a run.
type Event struct {
	At   time.Duration `json:"at"` // since the run's start, monotonic
	Wall time.Time     `json:"wall"`
	Kind string        `json:"kind"` // of fault; empty for what is not one
	Text string        `json:"text"`
}

// FaultCount is how often a kind of fault was injected, and how often it was
// seen to do something.
type FaultCount struct {
	Kind     string `json:"kind"`
	Injected int    `json:"injected"`
	Bites    int    `json:"bites"`
	Evidence string `json:"evidence,omitempty"` // of the last bite
}

// Timeline is what was done to a quorum, and when.
type Timeline struct {
	start time.Time

	mu     sync.Mutex
	events []Event
	counts map[string]*FaultCount
}

func newTimeline() *Timeline {
	return &Timeline{start: time.Now(), counts: map[string]*FaultCount{}}
}

// Since is the time since the run's start.
func (t *Timeline) Since() time.Duration { return time.Since(t.start) }

// Note records what is no fault.
func (t *Timeline) Note(format string, args ...any) { t.add("", fmt.Sprintf(format, args...)) }

// Inject records that a fault of that kind begins.
func (t *Timeline) Inject(kind, format string, args ...any) {
	t.add(kind, fmt.Sprintf(format, args...))
	t.count(kind, func(c *FaultCount) { c.Injected++ })
}

// Bite records that a fault did something. Empty evidence is none.
func (t *Timeline) Bite(kind, evidence string) {
	if evidence == "" {
		return
	}
	t.add("", kind+" bit: "+evidence)
	t.count(kind, func(c *FaultCount) { c.Bites++; c.Evidence = evidence })
}

// Withdraw records that a kind of fault cannot be injected here after all: it is
// counted no more.
func (t *Timeline) Withdraw(kind string, why error) {
	t.Note("%s: %v", kind, why)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.counts, kind)
}

func (t *Timeline) add(kind, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, Event{At: t.Since(), Wall: time.Now(), Kind: kind, Text: text})
}

func (t *Timeline) count(kind string, change func(*FaultCount)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts[kind] == nil {
		t.counts[kind] = &FaultCount{Kind: kind}
	}
	change(t.counts[kind])
}

// Counts are the kinds of fault, by name.
func (t *Timeline) Counts() []FaultCount {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := make([]FaultCount, 0, len(t.counts))
	for _, c := range t.counts {
		counts = append(counts, *c)
	}
	slices.SortFunc(counts, func(a, b FaultCount) int { return strings.Compare(a.Kind, b.Kind) })
	return counts
}

// toothless are the kinds that did nothing to anybody.
func (t *Timeline) toothless() []string {
	var kinds []string
	for _, c := range t.Counts() {
		if c.Bites == 0 {
			kinds = append(kinds, c.Kind)
		}
	}
	return kinds
}

// WriteTo writes the events, one JSON object a line.
func (t *Timeline) writeJSONL(w io.Writer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	enc := json.NewEncoder(w)
	for _, e := range t.events {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("write timeline: %w", err)
		}
	}
	return nil
}
