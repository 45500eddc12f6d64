package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/proxy/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// directory lets the proxies' own account log in to a server of package mysql.
type directory struct{}

func (directory) LookupUser(name string) (mysql.User, bool) {
	return mysql.User{Name: name, Password: "probe-password"}, name == "probe"
}
func (directory) LookupGroup(string) (mysql.Group, bool) { return mysql.Group{}, false }

// datasource is a server that can be logged in to, and its end.
func datasource(t *testing.T) (address string, stop func()) {
	t.Helper()
	srv, err := mysql.New(mysql.Config{Directory: directory{}})
	ok(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(context.Background(), ln) }() // ends with Shutdown
	stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		ok(t, srv.Shutdown(ctx))
		<-served
	}
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

func (r *rig) vote(to int) (api.ProxyVote, error) {
	r.t.Helper()
	data, err := json.Marshal(api.ProxyVoteFetchRequest{HostGroup: "orders", ToIndex: to})
	ok(r.t, err)
	resp, err := r.Handler()(r.call, &wire.Request{Name: api.ProxyVoteFetch, Body: data})
	var vote api.ProxyVote
	if err == nil {
		ok(r.t, json.Unmarshal(resp.Data, &vote))
	}
	return vote, err
}

// probing runs the proxy's probes, without keepers.
func (r *rig) probing() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx, script(func(string, []byte) (*wire.Response, error) { return nil, errors.New("no keeper") }))
	}()
	r.t.Cleanup(func() { cancel(); <-done })
}

func TestVote(t *testing.T) {
	a, stopA := datasource(t)
	b, stopB := datasource(t)
	r := newRig(t)
	r.probing()
	ok(t, r.push("1.0.0", document("", "orders "+a+" "+b)))
	_, err := r.vote(1)
	refused(t, err, api.NotReady) // nothing is known of its writable
	ok(t, r.hear(grant(stamp(1, api.StepIdle), 0, 0, a, true)))

	eventually(t, "a probe succeeded", func() bool { v, _ := r.vote(1); return v.LastSuccess != nil })
	if v, err := r.vote(1); err != nil || v.Vote || v.Failures != 0 || v.Error != "" || !v.TargetReachable || v.HostGroup != "orders" || v.FromIndex != 0 || v.ToIndex != 1 {
		t.Errorf("with the writable alive: %+v, %v", v, err)
	}
	stopA()
	eventually(t, "the vote is yes", func() bool { v, _ := r.vote(1); return v.Vote })
	if v, _ := r.vote(1); v.Failures < 2 || v.Error == "" || v.LastSuccess == nil {
		t.Errorf("the evidence: %+v", v)
	}
	// The rules of a new configuration count for a prober that runs already.
	ok(t, r.push("2.0.0", strings.Replace(document("", "orders "+a+" "+b), "backend_ping_count: 2", "backend_ping_count: 100", 1)))
	if v, err := r.vote(1); err != nil || v.Vote || v.Failures < 2 {
		t.Errorf("with 100 failures needed: %+v, %v", v, err)
	}
	ok(t, r.push("3.0.0", document("", "orders "+a+" "+b)))
	stopB()
	if v, err := r.vote(1); err != nil || v.Vote || v.TargetReachable {
		t.Errorf("with the candidate gone as well: %+v, %v", v, err)
	}
	_, err = r.vote(5)
	refused(t, err, api.IdentityMismatch)
	// What was found of the writable before says nothing about this one.
	ok(t, r.hear(grant(stamp(2, api.StepIdle), 2, 1, b, true)))
	if v, err := r.vote(0); err != nil || v.Vote || v.FromIndex != 1 {
		t.Errorf("on another writable: %+v, %v", v, err)
	}
}

func TestEvidence(t *testing.T) {
	pr := &prober{needed: 2}
	if _, enough := pr.evidence(addrA); enough {
		t.Error("no probe is enough")
	}
	pr.record(addrA, time.Now(), errors.New("x"))
	if _, enough := pr.evidence(addrA); enough {
		t.Error("one failure is enough, of two that are needed")
	}
	pr.record(addrA, time.Now(), errors.New("y"))
	if found, enough := pr.evidence(addrA); !enough || found.Failures != 2 || found.Error != "y" {
		t.Errorf("%+v, %v", found, enough)
	}
	if found, enough := pr.evidence(addrB); enough || found.Failures != 0 {
		t.Errorf("of another server: %+v, %v", found, enough)
	}
	pr.record(addrA, time.Now(), nil)
	if found, enough := pr.evidence(addrA); enough || found.Failures != 0 || found.Error != "" || found.LastSuccess.IsZero() {
		t.Errorf("after a success: %+v, %v", found, enough)
	}
	pr.record(addrB, time.Now(), errors.New("z"))
	if found, _ := pr.evidence(addrB); found.Failures != 1 || !found.LastSuccess.IsZero() {
		t.Errorf("of the next server: %+v", found)
	}
}

// TestProbersFollowTheConfiguration: one for each host group, and no other.
func TestProbersFollowTheConfiguration(t *testing.T) {
	r := newRig(t)
	r.probing()
	names := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.probers)
	}
	eventually(t, "Run began", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.run != nil })
	for i, want := range []struct {
		doc string
		n   int
	}{
		{docAB, 1},
		{document("", "orders "+addrA, "more "+addrC), 2},
		{document("", "more "+addrC), 1},
		{document("", "orders "+addrA), 1},
	} {
		ok(t, r.push([]string{"1.0.0", "2.0.0", "3.0.0", "4.0.0"}[i], want.doc))
		if n := names(); n != want.n {
			t.Errorf("configuration %d has %d probers, want %d", i+1, n, want.n)
		}
	}
}
