package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

func TestMuteness(t *testing.T) {
	type look struct {
		after    time.Duration
		answered bool
	}
	no := look{3 * time.Second, false}
	for _, test := range []struct {
		name  string
		looks []look
		then  time.Duration // asked so long after the last look
		want  time.Duration
	}{
		{"never looked at", nil, 0, 0},
		{"it answers", []look{{0, true}, {time.Second, true}}, 0, 0},
		{"two looks say too little", []look{no, no}, time.Second, 0},
		{"three", []look{no, no, no}, time.Second, 7 * time.Second},
		{"one answer refutes all", []look{no, no, no, no, {3 * time.Second, true}, no}, time.Second, 0},
		{"this agent stood still: it looks anew", []look{no, no, no, {time.Minute, false}}, 0, 0},
		{"and counts from then", []look{no, no, no, {time.Minute, false}, no, no}, 0, 6 * time.Second},
		{"this agent stands still now", []look{no, no, no}, time.Minute, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var m muteness
			now := time.Now()
			for _, l := range test.looks {
				now = now.Add(l.after)
				m.look(now, l.answered)
			}
			if got := m.duration(now.Add(test.then)); got != test.want {
				t.Errorf("mute for %v, want %v", got, test.want)
			}
		})
	}
}

// TestHungServerIsReported: one that answers nothing is said to hang, and is killed
// at once when it has to be fenced. One that answers anything is not.
func TestHungServerIsReported(t *testing.T) {
	for _, test := range []struct {
		name  string
		state error // what asking it brings
		greet error
		want  bool
	}{
		{"not even a greeting", mysql.ErrUnreachable, errors.New("i/o timeout"), true},
		{"it greets: overloaded", mysql.ErrUnreachable, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := &keeper{grants: []api.Grant{grant(stamp(1, api.StepIdle), 1, own, true)}}
			r := newRig(t, fenced())
			r.run(k)
			eventually(t, "it is writable", func() bool { return !r.db.readOnly() })
			r.db.set(func() { r.db.fail["State"], r.db.fail["Greets"] = test.state, test.greet })
			looks := r.db.called("State")
			eventually(t, "it was looked at", func() bool { return r.db.called("State") > looks+2*muteLooks })
			if got := k.last().HungMS > 0; got != test.want {
				t.Errorf("reported as hung: %v, want %v (%d ms)", got, test.want, k.last().HungMS)
			}
			if k.last().Dead {
				t.Error("it is reported as dead")
			}
			if !test.want {
				return
			}
			r.mu.Lock()
			r.mute.since = r.mute.since.Add(-2 * hangsAfter) // so long ago
			r.mu.Unlock()
			eventually(t, "a person is told", func() bool { return strings.Contains(k.last().Alarm, "the server hangs") })
			answer, err := r.give(stamp(2, api.StepFencing), api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: "orders", Primary: me(), BoundMS: 20_000, Kill: true})
			if err != nil || !answer.Dead || r.db.called("Kill") != 1 || r.db.called("Fence") != 0 {
				t.Errorf("fenced: %+v, %v; killed %d times, fenced %d times", answer, err, r.db.called("Kill"), r.db.called("Fence"))
			}
			if alarm := k.last().Alarm; r.db.called("Kill") == 1 {
				eventually(t, "the alarm is over ("+alarm+")", func() bool { return !strings.Contains(k.last().Alarm, "the server hangs") })
			}
		})
	}
}

// TestBypassIsReported: accounts that read_only does not stop are an alarm, also
// when nobody wants to switch (R26).
func TestBypassIsReported(t *testing.T) {
	k := &keeper{}
	r := newRig(t, replica())
	r.db.bypass = []string{"'batch'@'%'", "'b'@'%'", "'c'@'%'", "'d'@'%'", "'e'@'%'", "'f'@'%'"}
	r.run(k)
	eventually(t, "a person is told", func() bool { return strings.Contains(k.last().Alarm, "read_only does not stop 'batch'@'%'") })
	if alarm := k.last().Alarm; !strings.Contains(alarm, ", …") || strings.Contains(alarm, "'f'") {
		t.Errorf("six accounts: %s", alarm)
	}
	if k.last().Unfit != "" {
		t.Errorf("it cannot become the primary: %s", k.last().Unfit)
	}
	looks := r.db.called("State")
	eventually(t, "some looks", func() bool { return r.db.called("State") > looks+5 })
	if n := r.db.called("Bypass"); n != 1 {
		t.Errorf("the accounts were read %d times", n)
	}
	r.db.set(func() { r.db.bypass = nil })
	r.mu.Lock()
	r.bypassAt = time.Time{}
	r.mu.Unlock()
	eventually(t, "the alarm is over", func() bool { return k.last().Alarm == "" })
}
