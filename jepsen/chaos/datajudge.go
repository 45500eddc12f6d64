package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/jepsen/fleet"
)

// fewestAcked is how many writes must have been acknowledged for a run to say something.
const fewestAcked = 200

// judgeData stops the clients and asks the checkers.
func (r *Run) judgeData(ctx context.Context) error {
	r.judgeTeeth()
	if err := r.writers.stop(); err != nil {
		return err
	}
	looks := r.sampler.stop()
	finals, err := r.Data.finals(ctx)
	if err != nil {
		r.Violation("I8: not every database has what the primary has: %v", err)
	}
	if err := r.Data.stop(ctx); err != nil {
		r.worse(Failed, "stop the data plane: %v", err)
	}
	if err := r.Quorum.stop(ctx); err != nil && !errors.Is(err, fleet.ErrStopTimeout) {
		return fmt.Errorf("stop the keepers: %w", err)
	}
	if err := r.judgeLogs(); err != nil {
		return err
	}
	var dirs []string
	for _, n := range r.Quorum.members() {
		dirs = append(dirs, n.stored())
	}
	r.take("I3", check.SameState(dirs))
	commits := -1
	if r.final, err = check.Replay(dirs[0]); err != nil {
		r.worse(Undecided, "I8: %v", err)
	} else {
		commits = commitsOf(r.final)
		r.judgeRecords(r.final)
		r.judgeSights(r.final)
	}
	writes := r.Writes.Writes()
	r.judgeOutcomes(writes)
	if n := lossesOf(r.final); n > 0 && r.Data.plan.MayLose {
		r.Stat("switches that may have lost writes", n)
		r.take("I4", check.OneWritable(looks))
	} else {
		r.take("I4", check.OnePrimary(writes, looks, commits))
		r.take("I5", check.NoLostWrite(writes, finals))
	}
	if r.Scenario.Judge != nil {
		r.Scenario.Judge(ctx, r)
	}
	return nil
}

// judgeOutcomes counts what clients know; a run of which too little is known says nothing.
func (r *Run) judgeOutcomes(writes []check.DBWrite) {
	count := map[check.Outcome]int{}
	for _, w := range writes {
		count[w.Outcome]++
	}
	for _, o := range []check.Outcome{check.OK, check.Failed, check.Unknown} {
		r.Stat("ops_"+o.String(), count[o])
	}
	if count[check.OK] < fewestAcked {
		r.worse(Void, "only %d writes were acknowledged, %d would say something", count[check.OK], fewestAcked)
	}
	most := r.Scenario.Most
	if most == 0 {
		most = mostUnknown
	}
	if share := float64(count[check.Unknown]) / float64(max(len(writes), 1)); share > most {
		r.worse(Void, "the outcome of %.0f %% of the writes is in doubt, more than %.0f %%", 100*share, 100*most)
	}
}

// judgeLogs scans the logs of zero's processes (I14).
func (r *Run) judgeLogs() error {
	allowed, err := check.Allow(r.Scenario.Quiet...)
	if err != nil {
		return err
	}
	var logs []string
	for _, n := range r.Quorum.nodes {
		if n.PID() != 0 {
			logs = append(logs, n.LogPath())
		}
	}
	for _, p := range r.Data.Proxies {
		logs = append(logs, p.LogPath())
	}
	for _, h := range r.Data.Hosts {
		logs = append(logs, h.Agent.LogPath())
	}
	r.take("I14", check.LogScan(allowed, logs...))
	return nil
}

// commitsOf is how often a primary was committed, or -1 when the keepers do not remember all switches.
func commitsOf(s *fsm.State) int {
	commits := 0
	for _, sw := range s.Switches() {
		if sw.Group == dataGroup && slices.ContainsFunc(sw.Steps, func(st fsm.Step) bool { return st.State == fsm.StatePromoting }) {
			commits++
		}
	}
	if g := s.Group(dataGroup); g == nil || int(g.Generation) > len(s.Switches()) {
		return -1
	}
	return commits
}

// lossesOf is how many committed switches say what they may have lost.
func lossesOf(s *fsm.State) int {
	if s == nil {
		return 0
	}
	n := 0
	for _, sw := range s.Switches() {
		if sw.MayBeLost != "" {
			n++
		}
	}
	return n
}

// judgeRecords wants no switch left open in what the keepers hold (I8).
func (r *Run) judgeRecords(s *fsm.State) {
	ends := map[string]int{}
	for _, sw := range s.Switches() {
		ends[sw.Kind+" "+sw.State]++
		if !slices.Contains([]string{fsm.StateDone, fsm.StateRolledBack, fsm.StateSuperseded}, sw.State) {
			r.Violation("I8: switch %s was left in %s", sw.ID, sw.State)
		}
	}
	for what, n := range ends {
		r.Stat("switches "+what, n)
	}
	if g := s.Group(dataGroup); g != nil && g.OpenSwitch != "" {
		r.Violation("I8: the group still holds switch %s", g.OpenSwitch)
	}
}

// caughtUpTime bounds how long a replica may take to catch up when nobody writes any more.
const caughtUpTime = 10 * time.Second

// finals are what the primary of the record has, and the replicas that have caught up with it. The error is about the others.
func (d *Data) finals(ctx context.Context) ([]check.DBFinal, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*caughtUpTime)
	defer cancel()
	primary, err := d.primary(ctx)
	if err != nil {
		return nil, err
	}
	finals := make([]*check.DBFinal, len(d.Hosts))
	err = each(len(d.Hosts), func(i int) error {
		h := d.Hosts[i]
		if h.errant {
			return nil
		}
		if h != primary {
			waiting, stop := context.WithTimeout(ctx, caughtUpTime)
			defer stop()
			if err := h.WaitCaughtUp(waiting, primary.Maria); err != nil {
				return err
			}
		}
		final, err := h.final(ctx)
		if err == nil {
			finals[i] = &final
		}
		return err
	})
	var whole []check.DBFinal
	for _, f := range finals {
		if f != nil {
			whole = append(whole, *f)
		}
	}
	return whole, err
}

// final reads what a server has.
func (h *DBHost) final(ctx context.Context) (check.DBFinal, error) {
	final := check.DBFinal{Name: h.Name(), Rows: map[int64]map[int]int{}}
	state, err := h.Value(ctx, "SELECT @@global.gtid_binlog_state")
	if err != nil {
		return final, err
	}
	if final.State, err = check.ParseGTIDs(state); err != nil {
		return final, err
	}
	rows, err := h.Rows(ctx, "SELECT id, part, COUNT(*) AS n FROM "+dataTable+" GROUP BY id, part")
	if err != nil {
		return final, err
	}
	for _, row := range rows {
		id, err1 := strconv.ParseInt(row["id"], 10, 64)
		part, err2 := strconv.Atoi(row["part"])
		n, err3 := strconv.Atoi(row["n"])
		if err := errors.Join(err1, err2, err3); err != nil {
			return final, err
		}
		if final.Rows[id] == nil {
			final.Rows[id] = map[int]int{}
		}
		final.Rows[id][part] = n
	}
	return final, nil
}

// stop ends zero's processes in order, the proxies first. The databases end with the fleet.
func (d *Data) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	err := each(len(d.Proxies), func(i int) error { return d.Proxies[i].Stop(ctx) })
	return errors.Join(err, each(len(d.Hosts), func(i int) error { return d.Hosts[i].Agent.Stop(ctx) }))
}
