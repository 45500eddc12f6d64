package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fault/disk"
	"github.com/zerokeeper/zero/jepsen/fault/proc"
)

// watchdog is how long a keeper may wait for its disk before it stops: the
// default of --disk-timeout. Another must lead no more than leadTime later.
const (
	watchdog = 3 * time.Second
	leadTime = 3 * time.Second
)

// leaderOrFollower picks one of them by the draw.
func leaderOrFollower(ctx context.Context, r *Run, rand *rand.Rand) ([]*Node, error) {
	if rand.IntN(2) == 0 {
		return theLeader(ctx, r, rand)
	}
	return aFollower(ctx, r, rand)
}

// diskFault breaks one keeper's disk for a while. The keeper may stop, and is
// started again when the disk is whole; it must not go on wrongly, which the
// judges see.
func diskFault(f fault.DiskFault, pick victims) nemesis {
	return nemesis{name: f.String(), run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		nodes, err := pick(ctx, r, rand)
		if err != nil {
			return err
		}
		n := nodes[0]
		led := n.leads(ctx)
		n.ExpectEnd()
		before := n.disk.Affected()
		r.Timeline.Inject(f.String(), "disk of %s (leader: %v)", n.Name(), led)
		if err := breakDisk(n.disk, f); err != nil {
			return err
		}
		if hangs := f == fault.DiskHung || f == fault.HungSync; hangs && led {
			r.otherLeader(ctx, n)
		} else {
			wait(ctx, on)
		}
		affected := n.disk.Affected() - before
		ended := !n.Running()
		low := false
		if f == fault.DiskFull && !ended { // it gives up its reserve, refuses writes and says so
			status, err := r.Quorum.status(ctx, n)
			low = err == nil && status.DiskLow
		}
		if err := n.disk.Heal(); err != nil {
			return err
		}
		if broken, ok := n.disk.(interface{ NeedsRestore() bool }); ok && broken.NeedsRestore() {
			if err := n.Kill(); err != nil {
				return err
			}
			if err := n.disk.Restore(); err != nil {
				return err
			}
		}
		if f == fault.DiskHung || f == fault.HungSync { // it may only now be able to end
			if how, err := n.endsBySelf(ctx, 2*time.Second); err == nil {
				ended = true
				r.Timeline.Note("%s", how)
			}
		}
		if err := r.Quorum.revive(ctx); err != nil {
			return err
		}
		r.Timeline.Note("the disk of %s is whole again", n.Name())
		switch {
		case ended:
			r.Timeline.Bite(f.String(), n.Name()+" stopped by itself")
		case low:
			r.Timeline.Bite(f.String(), n.Name()+" refuses writes")
		case affected > 0:
			r.Timeline.Bite(f.String(), fmt.Sprintf("%d operations", affected))
		}
		return nil
	}}
}

// breakDisk begins a fault. A disk that is filled while its keeper frees space is
// not full in the end: that is tried again.
func breakDisk(d fault.Disk, f fault.DiskFault) error {
	err := d.Break(f)
	for tries := 0; errors.Is(err, disk.ErrVoid) && tries < 20; tries++ {
		if err := d.Heal(); err != nil {
			return err
		}
		err = d.Break(f)
	}
	return err
}

// otherLeader waits until another keeper than n leads, and records it when that
// took longer than it may (I12).
func (r *Run) otherLeader(ctx context.Context, n *Node) {
	began := time.Now()
	limit := watchdog + leadTime
	for time.Since(began) < limit+leadTime && ctx.Err() == nil {
		for _, other := range r.Quorum.members() {
			if other != n && other.Running() && other.leads(ctx) {
				took := time.Since(began)
				r.Timeline.Note("%s leads %v after the disk of %s hung", other.Name(), took.Round(time.Millisecond), n.Name())
				r.Stat("hung_disk_ms", took.Milliseconds())
				if took > limit {
					r.Violation("I12: %v from a leader's hung disk to another leader, at most %v", took.Round(time.Millisecond), limit)
				}
				return
			}
		}
		wait(ctx, 20*time.Millisecond)
	}
	r.Violation("I12: no other keeper led %v after the leader's disk hung", time.Since(began).Round(time.Millisecond))
}

// slowDisk bounds what a keeper writes in a second.
func slowDisk(pick victims) nemesis {
	const name = "slow disk"
	return limited(name, pick, func(ctx context.Context, r *Run, n *Node, p *proc.Proc, on time.Duration) error {
		n.ExpectEnd()
		r.Timeline.Inject(name, "%s writes at most 64 KiB/s", n.Name())
		if err := p.LimitWrites(64 << 10); err != nil {
			return err
		}
		slowest := time.Duration(0)
		until := time.Now().Add(on)
		for time.Now().Before(until) && ctx.Err() == nil {
			slowest = max(slowest, r.slowestWrite(ctx, n))
			wait(ctx, 50*time.Millisecond)
		}
		if slowest >= 100*time.Millisecond || !n.Running() {
			r.Timeline.Bite(name, fmt.Sprintf("a write of the log took %v", slowest.Round(time.Millisecond)))
		}
		return nil
	})
}

// slowestWrite is how long the keeper's durable writes took on the average since
// it was asked last. A keeper that cannot answer says nothing.
func (r *Run) slowestWrite(ctx context.Context, n *Node) time.Duration {
	status, page, err := n.ask(ctx, "/metrics")
	if err != nil || status != http.StatusOK {
		return 0
	}
	sum, count := metric(page, "zero_cluster_store_write_seconds_sum"), metric(page, "zero_cluster_store_write_seconds_count")
	before := n.writes
	n.writes = writes{sum, count}
	if before.count == 0 || count <= before.count {
		return 0
	}
	return time.Duration((sum - before.sum) / (count - before.count) * float64(time.Second))
}

// metric is the value of a metric without labels, 0 when it is not there.
func metric(page, name string) float64 {
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err == nil {
				return f
			}
		}
	}
	return 0
}
