// Package lease has the times of leases and the clock that they run on, for
// those that grant them (keepers) and those that hold them (proxies, agents).
// The rules are those of the datasource switch: a lease runs from the sending of
// the heartbeat that it answers, on the holder's clock (R10); who granted it waits
// longer than any holder can have it (R2, R3); an agent fences its server before
// its lease ends (R15).
//
// # Invariants
//
//   - Times that Validate accepts satisfy the inequalities 1 and 4 of the rules:
//     Wait ≥ Lease·(1+ρ)/(1−ρ) + ε; Fence ≥ Kill + the bound of a fence;
//     3·Beat + a round trip ≤ Lease − Fence.
//   - They satisfy 2, 3 and 5, of failsafe: Promise ≥ Failsafe·(1+ρ)/(1−ρ) + ε; what is
//     lent ends before the lender's server may be killed; rounds begin when two of
//     them can still fail, and come four times in a lease.
//   - Now counts the time that the machine was suspended, and is not moved by
//     whoever sets the wall clock.
package lease
