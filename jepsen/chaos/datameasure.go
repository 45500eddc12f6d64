package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fleet"
)

// Loss is a way to lose the primary.
type Loss string

// The ways.
const (
	ServerKilled  Loss = "mysqld killed"         // kill -9, its agent alive
	HostCut       Loss = "host cut off"          // silently, from everybody
	HostCutLeader Loss = "host with leader lost" // the same, with the keepers' leader on that host
)

// LossReport is what a measurement found. Times are from the loss to the first acknowledged write on the new primary.
type LossReport struct {
	Kind        Loss    `json:"kind"`
	Count       int     `json:"count"`
	P50MS       float64 `json:"p50Ms"`
	P95MS       float64 `json:"p95Ms"`
	MostMS      float64 `json:"mostMs"`
	EachMS      []int64 `json:"eachMs"` // in order of size
	Writes      int     `json:"writes"` // acknowledged
	InDoubt     int     `json:"inDoubt"`
	Aborted     int     `json:"aborted"`
	Lost        int     `json:"lost"` // acknowledged and gone: a run with any fails
	Keepers     int     `json:"keepers"`
	Proxies     int     `json:"proxies"`
	Databases   int     `json:"databases"`
	LeaseMS     int64   `json:"leaseMs"`
	RaftProfile string  `json:"raftProfile"`

	Losses []LossSteps `json:"losses"` // as they came
}

const (
	lossLimit    = 30 * time.Second // of one loss, to a write on another primary
	defaultLease = 2 * time.Second  // of zerokeeper
)

// MeasureLoss loses the primary count times under eight writers and writes how long it took to the first write that another
// server acknowledged. The runs are judged as G9's are. A report is also written to the file reportPath, unless it is empty.
func MeasureLoss(ctx context.Context, out io.Writer, opts Options, kind Loss, count int, profile, reportPath string) error {
	report := LossReport{Kind: kind, Count: count, Keepers: 3, Proxies: 2, Databases: 3, LeaseMS: defaultLease.Milliseconds(), RaftProfile: profile}
	var gaps []time.Duration
	s := &Scenario{
		Name: "measure-loss", Title: string(kind), Invariants: "I3 I4 I5 I6 I8 I12 I14", Nodes: report.Keepers, Fabric: bridged,
		Args: []string{"--raft-profile", profile}, Quiet: fencing, Most: 1,
		Limit: 2*time.Minute + time.Duration(count)*(lossLimit+wholeAgain),
		Data:  &dataPlan{Proxies: report.Proxies, Databases: report.Databases, Switch: []string{"auto_failover: true", "policy: lossless"}},
		Play: func(ctx context.Context, r *Run) error {
			for i := range count {
				gap, steps, err := r.loseOnce(ctx, kind)
				if err != nil {
					return fmt.Errorf("loss %d: %w", i+1, err)
				}
				gaps, report.Losses = append(gaps, gap), append(report.Losses, steps)
			}
			return nil
		},
	}
	opts.Nodes = s.Nodes
	ctx, cancel := context.WithTimeout(ctx, s.Limit)
	defer cancel()
	r := newRun(s, opts)
	kept, err := r.execute(ctx)
	if err != nil {
		return err
	}
	if r.status != OK {
		return fmt.Errorf("measure: %s, kept in %s: %v", r.status, kept, r.problems)
	}
	report.summarize(gaps, r.Writes.Writes())
	line, err := json.Marshal(report)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "primary lost (%s) %d times, first write acknowledged by another after p50 %.0f ms, p95 %.0f ms, most %.0f ms; %d writes, %d in doubt, %d aborted, 0 lost\nms from the loss, in the middle: %s\n%s\n",
		kind, count, report.P50MS, report.P95MS, report.MostMS, report.Writes, report.InDoubt, report.Aborted, middleSteps(report.Losses), line)
	if reportPath == "" {
		return nil
	}
	return os.WriteFile(reportPath, append(line, '\n'), 0o644)
}

func (l *LossReport) summarize(gaps []time.Duration, writes []check.DBWrite) {
	slices.Sort(gaps)
	at := func(share float64) float64 {
		return float64(gaps[int(share*float64(len(gaps)-1))].Microseconds()) / 1000
	}
	l.P50MS, l.P95MS, l.MostMS = at(0.5), at(0.95), at(1)
	for _, g := range gaps {
		l.EachMS = append(l.EachMS, g.Milliseconds())
	}
	for _, w := range writes {
		switch w.Outcome {
		case check.OK:
			l.Writes++
		case check.Unknown:
			l.InDoubt++
		default:
			l.Aborted++
		}
	}
}

// loseOnce loses the primary and gives the time to the first write that another server acknowledged, and where it went.
// Everything is in order when it begins.
func (r *Run) loseOnce(ctx context.Context, kind Loss) (time.Duration, LossSteps, error) {
	whole, cancel := context.WithTimeout(ctx, wholeAgain)
	defer cancel()
	if err := r.order(whole); err != nil {
		return 0, LossSteps{}, err
	}
	if err := r.writesThrough(whole, r.Timeline.Since()); err != nil {
		return 0, LossSteps{}, err
	}
	now, err := r.sides(ctx)
	if err != nil {
		return 0, LossSteps{}, err
	}
	old := r.hostAt(now.primary)
	lost := r.Timeline.Since()
	r.writers.awaitOther(old.ServerID(), lost)
	r.Timeline.Note("%s: %s is the primary, %s leads", kind, old.Name(), r.placeName(now.leader))
	switch all := append(now.all(), fault.Driver); kind {
	case ServerKilled:
		err = old.KillServer()
	case HostCut:
		err = r.Quorum.net.Set(part(rules{}, []int{now.primary}, without(all, now.primary)))
	case HostCutLeader:
		with := []int{now.primary, now.leader}
		err = r.Quorum.net.Set(part(rules{}, with, without(all, with...)))
	default:
		err = fmt.Errorf("there is no loss %q", kind)
	}
	if err != nil {
		return 0, LossSteps{}, err
	}
	waiting, stop := context.WithTimeout(ctx, lossLimit)
	defer stop()
	var first time.Duration
	err = fleet.Eventually(waiting, 5*time.Millisecond, func(context.Context) (err error) {
		first, err = r.writers.otherAcked()
		return err
	})
	if err != nil {
		return 0, LossSteps{}, err
	}
	r.Timeline.Note("another acknowledged a write %v after it", (first - lost).Round(time.Millisecond))
	steps, err := r.stepsOf(waiting, lost, first)
	return first - lost, steps, errors.Join(err, r.Quorum.net.Set(nil), old.Raise())
}
