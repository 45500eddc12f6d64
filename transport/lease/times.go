package lease

import (
	"fmt"
	"time"
)

// What clocks and schedulers are trusted with.
const (
	// clockError bounds the rate error of any clock (ρ): half a percent, ten
	// times what crystals and NTP together do.
	clockError = 0.005
	// slack is timer granularity and scheduling of the waiting side (ε).
	slack = 25 * time.Millisecond
	// roundTrips is the part of a lease that a heartbeat and its answer may take.
	roundTrips = 20
	// killMargin is what SIGKILL and reaping a database server may take.
	killMargin = 100 * time.Millisecond
	// beatsPerLease is how many heartbeats are sent while one lease lasts.
	beatsPerLease = 5
)

// Bounds of a lease: shorter ones are lost to the scheduler, longer ones make a
// failover wait.
const (
	Shortest = time.Second
	Default  = 2 * time.Second
	Longest  = 30 * time.Second
)

// Times are the times of leases of one length.
type Times struct {
	Lease time.Duration // from the sending of a heartbeat (D)
	Beat  time.Duration // between two heartbeats (h)
	Fence time.Duration // before its end an agent begins to fence its server (F)
	Kill  time.Duration // before its end it kills one that is not fenced yet (K)
	Wait  time.Duration // after the last grant its holder is out (W)

	// Of failsafe (R18), see failsafe.go.
	Failsafe time.Duration // a failsafe lease, from the sending of its round (Df)
	Promise  time.Duration // of a replica's agent, from the receipt of the round (Q)
	Round    time.Duration // one round of asking may take
	Again    time.Duration // from the beginning of one round to that of the next
}

// For is the times of leases of that length.
func For(lease time.Duration) Times {
	t := Times{Lease: lease, Beat: lease / beatsPerLease, Fence: lease * 35 / 100, Kill: lease / 8}
	t.Wait = t.outlived() + slack
	t.Failsafe, t.Round, t.Again = lease, lease*15/100, lease/4
	t.Promise = t.outlivedFailsafe() + slack
	return t
}

// outlived is when the slowest holder's lease is over on the fastest waiter's
// clock (inequality 1, without ε counted twice).
func (t Times) outlived() time.Duration {
	return time.Duration(float64(t.Lease)*(1+clockError)/(1-clockError)) + slack
}

// Validate says which inequality the times break.
func (t Times) Validate() error {
	switch {
	case t.Lease < Shortest || t.Lease > Longest:
		return fmt.Errorf("lease of %v: want %v to %v", t.Lease, Shortest, Longest)
	case t.Beat <= 0 || t.Beat > t.Lease/beatsPerLease:
		return fmt.Errorf("lease of %v with a heartbeat every %v: want at least %d in a lease", t.Lease, t.Beat, beatsPerLease)
	case t.Kill < killMargin:
		return fmt.Errorf("lease of %v: a server that is killed %v before its end may outlive it, want at least %v", t.Lease, t.Kill, killMargin)
	case t.Fence <= t.Kill:
		return fmt.Errorf("lease of %v: fenced %v and killed %v before its end, want time in between", t.Lease, t.Fence, t.Kill)
	case 3*t.Beat+t.Lease/roundTrips > t.Lease-t.Fence:
		return fmt.Errorf("lease of %v: two lost heartbeats of %v end it at %v before its end", t.Lease, t.Beat, t.Fence)
	case t.Wait < t.outlived(): // R3
		return fmt.Errorf("lease of %v: a wait of %v is shorter than the slowest holder's lease, want %v", t.Lease, t.Wait, t.outlived())
	}
	return t.validateFailsafe()
}
