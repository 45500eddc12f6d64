package lease

import (
	"fmt"
	"time"
)

// outlivedFailsafe is when the slowest asker's failsafe lease is over on the
// fastest promiser's clock (inequality 2).
func (t Times) outlivedFailsafe() time.Duration {
	return time.Duration(float64(t.Failsafe)*(1+clockError)/(1-clockError)) + slack
}

// Silence is how long no heartbeat must have been answered, from the sending of the
// last that was, before an agent begins its rounds (inequality 5): two of them still
// come before its server has to be fenced.
func (t Times) Silence() time.Duration { return t.Lease - t.Fence - 2*t.Round }

// Lent is the longest lease that may be lent when so much is left of a failsafe
// lease (inequality 3): the borrower counts from the sending of its request, on its
// own clock. The rule allows it until Kill before the end, when the lender's server
// must be dead; here it is until Fence, when that becomes read-only: clients are held
// then, and not refused. 0: none.
func (t Times) Lent(left time.Duration) time.Duration {
	left = min(left, t.Failsafe) - t.Fence
	if left <= 0 {
		return 0
	}
	return time.Duration(float64(left) * (1 - clockError) / (1 + clockError))
}

func (t Times) validateFailsafe() error {
	switch {
	case t.Failsafe <= 0 || t.Failsafe > t.Lease:
		return fmt.Errorf("failsafe lease of %v: want more than nothing, and at most the lease's %v", t.Failsafe, t.Lease)
	case t.Promise < t.outlivedFailsafe():
		return fmt.Errorf("failsafe lease of %v: a promise of %v is shorter than the slowest asker's lease, want %v", t.Failsafe, t.Promise, t.outlivedFailsafe())
	case t.Round <= 0 || t.Silence() < t.Beat:
		return fmt.Errorf("lease of %v: rounds of %v would begin %v after an answered heartbeat, before the next is due", t.Lease, t.Round, t.Silence())
	case t.Again <= 0 || t.Again > t.Failsafe/4:
		return fmt.Errorf("failsafe lease of %v: a round every %v, want at least four in a lease", t.Failsafe, t.Again)
	}
	return nil
}
