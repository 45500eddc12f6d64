package chaos

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/jepsen/fleet"
)

// checkTime bounds the search for a linearization.
const checkTime = 20 * time.Second

// mostUnknown is the share of unknown outcomes above which a run says nothing.
const mostUnknown = 0.1

// settle ends all faults while the workload still runs, and waits until the
// quorum works again (I12): a leader, acknowledged writes, every member ready and
// all of them at the same state (I3).
func (r *Run) settle(ctx context.Context, w *workload) error {
	defer w.stop()
	if err := r.Quorum.heal(); err != nil {
		return fmt.Errorf("heal: %w", err)
	}
	if err := r.Quorum.revive(ctx); err != nil {
		return fmt.Errorf("heal: %w", err)
	}
	healed := r.Timeline.Since()
	r.Timeline.Note("everything is healed")
	settling, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	probe, err := r.newClient(r.Quorum.addrs()[:r.Quorum.expect])
	if err != nil {
		return err
	}
	defer probe.conn.Close()
	err = fleet.Eventually(settling, 10*time.Millisecond, func(ctx context.Context) error {
		if op := probe.put(ctx, "probe", "settled", "x", nil); op.Outcome != check.OK {
			return errors.New(op.Error)
		}
		return nil
	})
	if err != nil {
		r.Violation("I12: no write was acknowledged within %v of the end of all faults: %v", settleTime, err)
		return nil
	}
	r.Stat("recovery_ms", (r.Timeline.Since() - healed).Milliseconds())
	r.Timeline.Note("writes are acknowledged again")
	w.stop()
	if err := r.Quorum.allReady(settling); err != nil {
		r.Violation("I12: not every keeper was ready within %v of the end of all faults: %v", settleTime, err)
		return nil
	}
	index, err := r.Quorum.agree(settling)
	switch {
	case err != nil && strings.Contains(err.Error(), "I3"):
		r.Violation("%v", err)
	case err != nil:
		r.Violation("I12: the keepers did not come to the same state within %v of the end of all faults: %v", settleTime, err)
	default:
		r.Timeline.Note("all keepers have the same state at %d", index)
	}
	return nil
}

// judge stops the keepers and asks the checkers.
func (r *Run) judge(ctx context.Context) error {
	r.judgeTeeth()
	if err := r.Quorum.stop(ctx); err != nil && !errors.Is(err, fleet.ErrStopTimeout) {
		return fmt.Errorf("stop the keepers: %w", err)
	}
	if err := r.History.Err(); err != nil {
		return err
	}
	var dirs, logs []string
	for _, n := range r.Quorum.members() {
		dirs = append(dirs, n.stored())
	}
	for _, n := range r.Quorum.nodes { // those that joined and left again too
		if n.PID() != 0 {
			logs = append(logs, n.LogPath())
		}
	}
	allowed, err := check.Allow(r.Scenario.Quiet...)
	if err != nil {
		return err
	}
	r.take("I14", check.LogScan(allowed, logs...))
	r.take("I3", check.SameState(dirs))
	ops := r.History.Ops()
	r.judgeUnknown(ops)
	r.log = r.committed(dirs)
	r.take("I2", check.InLog(ops, r.log))
	ops = check.Resolve(ops, r.log)
	r.judgeRegisters(ops)
	if r.final, err = check.Replay(dirs[0]); err != nil {
		r.worse(Undecided, "I2: %v", err)
	}
	r.judgeSet(dirs, ops)
	if r.Scenario.Judge != nil {
		r.Scenario.Judge(ctx, r)
	}
	return nil
}

// judgeTeeth makes a run void in which a fault did nothing.
func (r *Run) judgeTeeth() {
	if toothless := r.Timeline.toothless(); len(toothless) > 0 {
		r.worse(Void, "these faults did nothing: %s", strings.Join(toothless, ", "))
	}
}

// judgeUnknown counts outcomes; a run of which too little is known says nothing.
func (r *Run) judgeUnknown(ops []check.Op) {
	count := map[check.Outcome]int{}
	for _, op := range ops {
		count[op.Outcome]++
	}
	for _, o := range []check.Outcome{check.OK, check.Failed, check.Refused, check.Unknown} {
		r.Stat("ops_"+o.String(), count[o])
	}
	if count[check.OK] == 0 {
		r.worse(Void, "no operation succeeded")
		return
	}
	most := r.Scenario.Most
	if most == 0 {
		most = mostUnknown
	}
	if share := float64(count[check.Unknown]) / float64(len(ops)); share > most {
		r.worse(Void, "the outcome of %.0f %% of the operations is unknown, more than %.0f %%", 100*share, 100*most)
	}
}

// of picks the operations on the sections of one id.
func of(id string, ops []check.Op) []check.Op {
	return slices.DeleteFunc(slices.Clone(ops), func(op check.Op) bool { return !strings.HasPrefix(op.Key, id+"/") })
}

// judgeRegisters wants the registers linearizable (I1).
func (r *Run) judgeRegisters(ops []check.Op) {
	ops = of(registerID, ops)
	if len(ops) == 0 {
		return
	}
	r.take("I1", check.Linearizable(ops, check.LinearizableOptions{Timeout: checkTime, HTML: r.picture()}))
}

// judgeSet wants every acknowledged element on every keeper's disk (I2).
func (r *Run) judgeSet(dirs []string, ops []check.Op) {
	ops = of(setID, ops)
	if len(ops) == 0 {
		return
	}
	acked, unknown := []string{}, []string{}
	for _, op := range ops {
		switch op.Outcome {
		case check.OK:
			acked = append(acked, op.Value)
		case check.Unknown:
			unknown = append(unknown, op.Value)
		}
	}
	final := map[string][]string{}
	for _, dir := range dirs {
		state, err := check.Replay(dir)
		if err != nil {
			r.Violation("I2: %v", err)
			continue
		}
		name := filepath.Base(filepath.Dir(dir))
		for _, s := range state.Sections() {
			if s.ID == setID {
				final[name] = append(final[name], s.Section)
			}
		}
	}
	r.take("I2", check.Set(acked, unknown, final))
}

// committed is what the keepers agreed on, by their logs. It tells what became
// of the operations whose outcome their clients did not learn.
func (r *Run) committed(dirs []string) *check.RaftLog {
	var logs []*check.RaftLog
	for _, dir := range dirs {
		log, err := check.ReadRaftLog(dir)
		if err != nil {
			r.Violation("I13: %v", err)
			return nil
		}
		logs = append(logs, log)
	}
	merged, err := check.Merge(logs...)
	if err != nil {
		r.Violation("I3: %v", err)
	}
	return merged
}

// judgeControl turns the verdict of a run whose keepers were broken on purpose:
// it is green only when the right checker found it.
func (r *Run) judgeControl() {
	if r.Scenario.Control == "" {
		return
	}
	if r.Sound && r.Scenario.Data != nil {
		r.judgeSound()
		return
	}
	found := slices.ContainsFunc(r.problems, func(p string) bool { return strings.HasPrefix(p, r.Scenario.Finds) })
	switch {
	case found:
		r.Stat("found out", r.problems[slices.IndexFunc(r.problems, func(p string) bool { return strings.HasPrefix(p, r.Scenario.Finds) })])
		r.status, r.problems = OK, nil
	case r.status == OK || r.status == Violation || r.status == Undecided:
		r.missed = true
		others := r.problems
		r.status, r.problems = Violation, append([]string{fmt.Sprintf("keepers built with %s were not found out: no problem begins with %q", r.Scenario.Control, r.Scenario.Finds)}, others...)
	}
}

// judgeSound turns the verdict of a control whose programs were whole: what it is
// for must not have been found. Its schedule may leave a server that needs a person.
func (r *Run) judgeSound() {
	i := slices.IndexFunc(r.problems, func(p string) bool { return strings.HasPrefix(p, r.Scenario.Finds) })
	if r.status == Failed || r.status == Void {
		return
	}
	r.Stat("others", r.problems)
	if i < 0 {
		r.status, r.problems = OK, nil
		return
	}
	r.status, r.problems = Violation, append([]string{"the programs were whole"}, r.problems...)
}
