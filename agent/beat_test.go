package agent

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// keeper is a scripted keeper at the other end of a link.
type keeper struct {
	mu     sync.Mutex
	down   bool
	seq    uint64 // to answer with instead of the one asked, if not 0
	grants []api.Grant
	length time.Duration // of leases, 0: 4 s, negative: none are granted
	beats  []api.AgentHeartbeatRequest
}

func (k *keeper) Call(_ context.Context, name string, _ wire.Meta, body []byte) (*wire.Response, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down {
		return nil, api.ErrNoLeader
	}
	if name != api.AgentHeartbeat {
		return nil, api.ErrUnknownRequest
	}
	var beat api.AgentHeartbeatRequest
	if err := json.Unmarshal(body, &beat); err != nil {
		return nil, err
	}
	k.beats = append(k.beats, beat)
	answer := api.HeartbeatAnswer{Seq: beat.Seq, IntervalMS: 1, LeaseMS: 4000, Grants: k.grants, Moment: api.Moment{Index: uint64(len(k.beats))}} // 1 ms is too short: 50 are taken
	if k.length != 0 {
		answer.LeaseMS = max(0, k.length.Milliseconds())
	}
	if k.seq != 0 {
		answer.Seq = k.seq
	}
	data, err := json.Marshal(answer)
	return &wire.Response{Data: data}, err
}

func (k *keeper) set(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func (k *keeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.beats)
}

func (k *keeper) last() api.AgentHeartbeatRequest {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.beats) == 0 {
		return api.AgentHeartbeatRequest{}
	}
	return k.beats[len(k.beats)-1]
}

// run runs the agent until the test ends.
func (r *rig) run(link Link) { r.t.Cleanup(r.runUntil(link)) }

// runUntil runs the agent until stop is called.
func (r *rig) runUntil(link Link) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx, link) }()
	return func() { cancel(); <-done }
}

func TestLifeWithKeepers(t *testing.T) {
	k := &keeper{grants: []api.Grant{grant(stamp(1, api.StepIdle), 0, own, true)}}
	r := newRig(t, fenced())
	if err := r.Ready(); err == nil {
		t.Error("ready before the server was asked")
	}
	r.run(k)
	eventually(t, "the server is writable", func() bool { return k.last().Role == "primary" })
	ok(t, r.Ready())
	k.set(func() {
		if b := k.beats[0]; b.Seq != 1 || b.Address != own || b.ServerID != "7" || b.MySQL.Status != 1 || b.Role != "none" || !b.ReadOnly || b.Incarnation == "" || b.Version != "test" {
			t.Errorf("the first heartbeat: %+v", b)
		}
	})
	if b := k.last(); b.Stamp != stamp(1, api.StepIdle) || b.HostGroup != "orders" || b.ReadOnly {
		t.Errorf("a later heartbeat: %+v", b)
	}

	// Another one was committed: this server becomes its replica by itself.
	k.set(func() { k.grants = []api.Grant{grant(stamp(2, api.StepIdle), 2, primary, true)} })
	eventually(t, "it is a replica", func() bool { return k.last().Role == "replica" })
	r.did("SetReadOnly", "Promote", "SetReadOnly", "Follow") // R14: an agent that starts has no lease

	// An answer to another heartbeat is no answer.
	k.set(func() { k.seq, k.grants = 1, []api.Grant{grant(stamp(3, api.StepIdle), 2, own, true)} })
	n := k.count()
	eventually(t, "time goes by", func() bool { return k.count() > n+3 })
	if m := r.remembered(); m.Stamp.Generation != 2 {
		t.Errorf("it took %+v", m)
	}

	// Nobody answers: all stays as it is, and shows.
	k.set(func() { k.down, k.seq = true, 0 })
	eventually(t, "the silence shows", func() bool { return r.View().Silence > 100*time.Millisecond })
	ok(t, r.Ready())
	k.set(func() { k.down, k.grants = false, nil })
	n = k.count()
	eventually(t, "it knows of no group", func() bool { return k.count() > n+3 })
	r.setAlarm("x")
	eventually(t, "the alarm is over with the group", func() bool { return r.View().Alarm == "" })
}

// TestServerDoesNotAnswer: heartbeats go on and say so; nothing is done to it.
func TestServerDoesNotAnswer(t *testing.T) {
	k := &keeper{grants: []api.Grant{grant(stamp(1, api.StepIdle), 1, own, true)}}
	r := newRig(t, fenced())
	r.db.fail["State"] = mysql.ErrUnreachable
	r.run(k)
	eventually(t, "heartbeats", func() bool { return k.count() > 3 })
	if b := k.last(); b.MySQL.Status != 0 || b.Role != "" || b.ServerID != "" {
		t.Errorf("%+v", b)
	}
	if err := r.Ready(); !errors.Is(err, mysql.ErrUnreachable) {
		t.Errorf("ready: %v", err)
	}
	_, err := r.give(stamp(2, api.StepFencing), api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: "orders", Primary: me(), BoundMS: 1})
	refused(t, err, api.MySQLUnreachable) // nobody knows whether it is the one that is meant
	r.did("SetReadOnly")
	r.db.set(func() { delete(r.db.fail, "State") })
	eventually(t, "it is writable", func() bool { return k.last().Role == "primary" })
	ok(t, r.Ready())
}

// TestServerHangs: neither a server that hangs nor one that takes its time to
// change keeps heartbeats from being sent.
func TestServerHangs(t *testing.T) {
	for _, what := range []string{"State", "Follow"} {
		t.Run(what, func(t *testing.T) {
			k := &keeper{grants: []api.Grant{grant(stamp(1, api.StepIdle), 1, primary, true)}}
			r := newRig(t, fenced(), func(c *Config) { c.StateTimeout, c.RoleTimeout = 500*time.Millisecond, time.Minute })
			r.run(k)
			eventually(t, "heartbeats", func() bool { return k.count() > 1 })
			r.db.set(func() {
				r.db.hang[what] = true
				r.db.state = fenced()
			})
			hung := r.db.called(what)
			eventually(t, "it hangs", func() bool { return r.db.called(what) > hung })
			n := k.count()
			eventually(t, "heartbeats go on", func() bool { return k.count() > n+4 })
			if got := r.db.called(what); got > hung+1 {
				t.Errorf("heartbeats waited: the server was asked %d times meanwhile", got-hung)
			}
			if what == "State" {
				eventually(t, "they say so", func() bool { return k.last().MySQL.Status == 0 })
			}
		})
	}
}

// TestKeeperThatMakesNoSense: whatever it answers, the agent goes on.
func TestKeeperThatMakesNoSense(t *testing.T) {
	r := newRig(t, writable())
	for name, answer := range map[string]string{"not JSON": "{", "another type": `{"seq":"one"}`, "a list": "[]", "nothing": "", "another heartbeat": `{"seq":7}`} {
		link := linkFunc(func() (*wire.Response, error) { return &wire.Response{Data: []byte(answer)}, nil })
		if _, err := r.send(t.Context(), link, 1); err == nil {
			t.Errorf("%s: taken for an answer", name)
		}
	}
	for _, ms := range []int64{-5, 1, 1 << 62} {
		link := linkFunc(func() (*wire.Response, error) {
			data, err := json.Marshal(api.HeartbeatAnswer{Seq: 1, IntervalMS: ms})
			return &wire.Response{Data: data}, err
		})
		pause, err := r.beatOnce(t.Context(), link, 1)
		if err != nil || pause < minBeat || pause > maxBeat {
			t.Errorf("an interval of %d ms makes a pause of %v, %v", ms, pause, err)
		}
	}
	bad := grant(stamp(1, api.StepIdle), 1, "no address", true)
	r.db.set(func() { r.db.state = fenced() })
	if err := r.hear(bad); err == nil {
		t.Error("it follows what is no address")
	}
	r.alarmed("does not follow no address")
	r.did()
}

type linkFunc func() (*wire.Response, error)

func (f linkFunc) Call(context.Context, string, wire.Meta, []byte) (*wire.Response, error) {
	return f()
}
