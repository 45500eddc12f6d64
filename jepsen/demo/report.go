package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"github.com/zerokeeper/zero/jepsen/load"
)

// kindFailover is the kind of a switch that nobody asked for.
const kindFailover = "failover"

// report is what the clients saw. Times are in milliseconds.
type report struct {
	Switches         []switchReport `json:"switches"`
	KeeperKill       *keeperReport  `json:"keeper_kill,omitempty"`
	RowsAcknowledged int            `json:"rows_acknowledged"`
	RowsLost         int            `json:"rows_lost"`    // on the server that lacks most
	RowsDoubled      int            `json:"rows_doubled"` // on the server that has most
	RowsPartial      int            `json:"rows_partial"` // transactions of which a part is there
	ClientErrors     int            `json:"client_errors"`
	WritesPerSecond  float64        `json:"writes_per_second"`
	LatencyP50       float64        `json:"latency_p50_ms"` // since a write was due
	LatencyP99       float64        `json:"latency_p99_ms"`
}

// errorCounts are client errors by kind.
type errorCounts struct {
	InDoubt int `json:"in_doubt"`
	Aborted int `json:"aborted"`
	Other   int `json:"other"`
}

// switchReport is one switch.
type switchReport struct {
	Kind     string      `json:"kind"`
	ID       string      `json:"id"`
	Blackout float64     `json:"blackout_ms"`
	Steady   float64     `json:"steady_gap_ms"`
	Took     float64     `json:"took_ms"` // of `zeroctl switch start`
	Errors   errorCounts `json:"errors"`
}

// keeperReport is the kill of the leading keeper.
type keeperReport struct {
	Gap      float64     `json:"gap_ms"` // longest pause of acknowledged writes through the proxies
	Steady   float64     `json:"steady_gap_ms"`
	PutAfter float64     `json:"put_after_ms"` // until a write through the keepers worked again
	Errors   errorCounts `json:"errors"`
}

func (e *errorCounts) add(failures []load.Failure) {
	counts := load.Count(failures)
	e.InDoubt, e.Aborted, e.Other = counts[load.InDoubt], counts[load.Aborted], counts[load.Other]
}

func (e errorCounts) sum() int { return e.InDoubt + e.Aborted + e.Other }

func (s *switchReport) count(failures []load.Failure) { s.Errors.add(failures) }
func (s *switchReport) total() int                    { return s.Errors.sum() }
func (k *keeperReport) count(failures []load.Failure) { k.Errors.add(failures) }
func (k *keeperReport) total() int                    { return k.Errors.sum() }

// ms is a duration in milliseconds, to the hundredth.
func ms(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

func port(address string) string {
	if _, p, err := net.SplitHostPort(address); err == nil {
		return p
	}
	return address
}

func (r *report) write(file string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// print is the report for people.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\nWhat the clients saw\n\n")
	fmt.Fprintf(w, "  %-34s %12s %12s %10s\n", "", "longest", "normally", "client")
	fmt.Fprintf(w, "  %-34s %12s %12s %10s\n", "", "pause", "", "errors")
	var blackouts []float64
	for _, s := range r.Switches {
		if s.Kind != kindFailover {
			blackouts = append(blackouts, s.Blackout)
		}
	}
	if len(blackouts) > 2 {
		slices.Sort(blackouts)
		at := func(percent int) float64 { return blackouts[min(len(blackouts)*percent/100, len(blackouts)-1)] }
		fmt.Fprintf(w, "  %d planned switches: pause p50 %.0f ms, p95 %.0f ms, longest %.0f ms\n", len(blackouts), at(50), at(95), at(100))
	}
	for _, s := range r.Switches {
		what := "planned switch "
		if s.Kind == kindFailover {
			what = "primary killed, "
		}
		fmt.Fprintf(w, "  %-34s %9.0f ms %9.0f ms %10d\n", what+s.ID, s.Blackout, s.Steady, s.total())
	}
	if k := r.KeeperKill; k != nil {
		fmt.Fprintf(w, "  %-34s %9.0f ms %9.0f ms %10d\n", "leading keeper killed", k.Gap, k.Steady, k.total())
		fmt.Fprintf(w, "\n  writing through the keepers worked again %.0f ms after the kill\n", k.PutAfter)
	}
	fmt.Fprintf(w, "  %d rows acknowledged, %.0f writes a second, latency p50 %.1f ms, p99 %.1f ms\n", r.RowsAcknowledged, r.WritesPerSecond, r.LatencyP50, r.LatencyP99)
	fmt.Fprintf(w, "  %d acknowledged rows lost, %d written twice, %d transactions in part; %d client errors in all\n", r.RowsLost, r.RowsDoubled, r.RowsPartial, r.ClientErrors)
}

// verdict is nil when nobody noticed anything, but for the statements that were
// in flight when the primary was killed: of each connection at most one, and told
// as what they are.
func (r *report) verdict() error {
	borne := 0
	for _, s := range r.Switches {
		if s.Kind != kindFailover {
			continue
		}
		if lost := s.Errors.InDoubt + s.Errors.Aborted; lost <= clients && s.Errors.Other == 0 {
			borne += lost
		}
	}
	if r.ClientErrors-borne+r.RowsLost+r.RowsDoubled+r.RowsPartial == 0 {
		return nil
	}
	return errors.New("clients noticed: see the report")
}
