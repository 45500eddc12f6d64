package keeper

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/faultpoint"
)

// tellEvery is how often a failure that is tried again without end is logged.
const tellEvery = 10 * time.Second

// promoting is behind the commit point: there is only forward. The new primary
// is promoted, the other replicas begin to follow it meanwhile: a first commit
// there may need one of them to acknowledge it.
//
// The proxies are pointed at it meanwhile: their stamp is the commit's, whose entry
// is applied (R6), and they hold still. When all are, the next step is done as well.
func (d *driver) promoting(ctx context.Context, s *fsm.Switch) outcome {
	if d.followed == nil {
		follow := d.meta()
		d.early = d.firstFollowers(s)
		d.followed = d.begin(func() (int, error) { return d.repoint(ctx, s, d.early, follow, d.waits.role) })
	}
	d.pointProxies(ctx, s)
	body := api.PromoteDatasourceRequest{HostGroup: s.Group, Primary: d.candidate(s)}
	if g := d.cfg.Store.State().Group(s.Group); g != nil { // R17: frozen since the commit
		body.ReplicaSet, body.ReplicaVersion = g.ReplicaSet(), g.RecordVersion
	}
	var told time.Time
	err := d.retry(ctx, d.waits.role, func(error) bool { return false }, func(ctx context.Context) error {
		promoted, err := d.agent(ctx, s.ToAddress, api.PromoteDatasource, d.meta(), body)
		if err == nil && promoted.ReadOnly {
			err = api.Errorf(api.NotReady, "%s is still read-only", s.ToAddress)
		}
		if err != nil && time.Since(told) > tellEvery {
			told = time.Now()
			d.log.Warn("the new primary is not promoted yet, trying again", "switch", s.ID, "datasource", s.ToAddress, "error", err)
		}
		return err
	})
	if err != nil { // only the term's end gets here
		return outcome{}
	}
	d.presence.confirm(s.ToAddress, d.stamp.Epoch, d.stamp.Generation)
	out := next(fsm.StateSwitching, s.ToAddress+" is writable")
	if faultpoint.Armed(point(fsm.StateSwitching, "before"), point(fsm.StateSwitching, "after")) {
		return out
	}
	select {
	case <-d.pointed.done:
		then := d.switched()
		out.then = &then
	default:
	}
	return out
}

func (d *driver) pointProxies(ctx context.Context, s *fsm.Switch) {
	if d.pointed != nil {
		return // promoting began it
	}
	meta := d.meta()
	body := api.SwitchProxyDatasourceRequest{HostGroup: s.Group, ToIndex: s.To, Primary: d.candidate(s)}
	d.pointed = d.begin(func() (int, error) {
		return d.everyProxy(ctx, s, d.waits.point, func(ctx context.Context, p *fsm.Proxy) error {
			return d.tell(ctx, p, api.SwitchProxyDatasource, meta, body)
		})
	})
}

// switching points every proxy at the new primary; they hold still. One that is
// slow to answer is not waited for, it would keep the others held: it is
// pointed when it is told to recover, or by its heartbeat.
func (d *driver) switching(ctx context.Context, s *fsm.Switch) outcome {
	d.pointProxies(ctx, s) // does nothing unless an earlier leader promoted
	<-d.pointed.done
	return d.switched()
}

func (d *driver) switched() outcome {
	return next(fsm.StateRecovering, noteOf(fmt.Sprintf("%d proxies switched", d.pointed.n), d.pointed.err))
}

// recovering lets the held writes go on, on the new primary.
func (d *driver) recovering(ctx context.Context, s *fsm.Switch) outcome {
	n, err := d.recoverProxies(ctx, s, s.To, d.candidate(s))
	return next(fsm.StateRepointing, noteOf(fmt.Sprintf("%d proxies write again", n), err))
}

// recoverProxies lets every proxy write to the primary. One that points
// elsewhere missed an order before, and is pointed first.
func (d *driver) recoverProxies(ctx context.Context, s *fsm.Switch, index int, primary api.Datasource) (int, error) {
	meta := d.meta()
	body := api.RecoverWritingProxyDatasourceRequest{HostGroup: s.Group, Index: index, Primary: primary}
	point := api.SwitchProxyDatasourceRequest{HostGroup: s.Group, ToIndex: index, Primary: primary}
	return d.everyProxy(ctx, s, d.waits.inform, func(ctx context.Context, p *fsm.Proxy) error {
		err := d.tell(ctx, p, api.RecoverWritingProxyDatasource, meta, body)
		if code, _ := api.CodeOf(err); code != api.IdentityMismatch && code != api.NotReady {
			return err
		}
		if err := d.tell(ctx, p, api.SwitchProxyDatasource, meta, point); err != nil {
			return err
		}
		return d.tell(ctx, p, api.RecoverWritingProxyDatasource, meta, body)
	})
}

func noteOf(text string, err error) string {
	if err == nil {
		return text
	}
	return text + "; not yet: " + oneLine(err)
}

// oneLine joins the lines of joined errors.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
