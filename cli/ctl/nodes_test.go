package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// TestMembersByIdentity: a keeper is its id, whatever name its address has.
func TestMembersByIdentity(t *testing.T) {
	f := healthy()
	f.nodes["k1.example:7001"] = f.nodes["10.0.0.1:7001"]
	got := run{fake: f}.do("member", "list", "--keepers", "k1.example:7001,10.0.0.2:7001", "-o", "json")
	var list struct{ Members []member }
	if err := json.Unmarshal([]byte(got.out), &list); err != nil || len(list.Members) != 3 {
		t.Fatalf("%v: %s", err, got.out)
	}
	f.nodes["10.0.0.2:7001"] = f.nodes["10.0.0.3:7001"]
	got = run{fake: f, env: threeKeepers}.do("member", "list")
	if !strings.Contains(got.out, "another keeper answers at its address: k3") {
		t.Errorf("a foreign keeper at a member's address: %s", got.out)
	}
}

func TestTroubles(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*fake)
		say    string
	}{
		{"unreachable", func(f *fake) { delete(f.nodes, "10.0.0.2:7001") }, "keeper k2 (10.0.0.2:7001) is not reachable from here: connection refused"},
		{"not ready", func(f *fake) {
			f.nodes["10.0.0.2:7001"] = nodeOf(members[1], "follower", func(s *api.NodeStatusAnswer) { s.Ready = false })
		}, "keeper k2 (10.0.0.2:7001) is not ready"},
		{"different states", func(f *fake) {
			f.nodes["10.0.0.2:7001"] = nodeOf(members[1], "follower", func(s *api.NodeStatusAnswer) { s.Hash = "bb" })
		}, "the states of keepers k1 and k2 differ"},
		{"of different indexes", func(f *fake) {
			f.nodes["10.0.0.2:7001"] = nodeOf(members[1], "follower", func(s *api.NodeStatusAnswer) { s.Hash, s.HashIndex = "bb", 90 })
		}, ""},
		{"foreign keeper", func(f *fake) {
			f.nodes["10.0.9.9:7001"] = nodeOf(api.Member{ID: "ffff", Name: "x1"}, "leader", nil)
		}, "--keepers names 10.0.9.9:7001, which is no member of this group"},
		{"wrong endpoint", nil, "--keepers names 10.0.9.9:7001, which is not reachable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, keepers := healthy(), "10.0.0.1:7001"
			if test.change != nil {
				test.change(f)
			}
			if strings.Contains(test.say, "10.0.9.9") {
				keepers += ",10.0.9.9:7001"
			}
			got := run{fake: f}.do("status", "--keepers", keepers)
			if test.say == "" && got.code != 0 {
				t.Errorf("exit %d: %s", got.code, got.out)
			}
			if test.say != "" && (got.code != ExitUnhealthy || !strings.Contains(got.out, "! "+test.say)) {
				t.Errorf("exit %d, %q is not in: %s", got.code, test.say, got.out)
			}
		})
	}
}

// hanging is a group of which one keeper swallows what it is sent.
type hanging struct {
	*fake
	endpoint string
}

func (h *hanging) At(ctx context.Context, endpoint, name string, in, out any) error {
	if endpoint == h.endpoint {
		<-ctx.Done()
		return ctx.Err()
	}
	return h.fake.At(ctx, endpoint, name, in, out)
}

// TestBlackHole: a keeper that does not answer delays the others by the bound
// of one question, and is shown.
func TestBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{client: &hanging{healthy(), "10.0.0.2:7001"}, timeout: time.Minute}
		started := time.Now()
		nodes, err := a.askNodes(t.Context(), []string{"10.0.0.1:7001", "10.0.0.2:7001", "10.0.0.3:7001"})
		if err != nil || time.Since(started) != nodeTimeout {
			t.Fatalf("%v after %s", err, time.Since(started))
		}
		if !nodes[0].Reachable || nodes[1].Reachable || !nodes[2].Reachable || nodes[1].Error != "no answer within 2s" {
			t.Errorf("got %+v", nodes)
		}
	})
}

func TestVersion(t *testing.T) {
	if got := (run{fake: &fake{}}).do("version"); got.code != 0 || got.out == "" || strings.Contains(got.out, "keeper ") {
		t.Errorf("exit %d: %s", got.code, got.out)
	}
	f := healthy()
	delete(f.nodes, "10.0.0.2:7001")
	got := run{fake: f, env: threeKeepers}.do("version")
	if got.code != 0 || !strings.Contains(got.out, "keeper k1 (10.0.0.1:7001): v0.1.0") || !strings.Contains(got.out, "keeper 10.0.0.2:7001: connection refused") {
		t.Errorf("exit %d: %s", got.code, got.out)
	}
	f.nodes = nil
	if got := (run{fake: f, env: threeKeepers}).do("version", "-o", "json"); got.code != ExitUnreachable || !strings.Contains(got.out, `"zeroctl"`) {
		t.Errorf("exit %d: %s", got.code, got.out)
	}
}

func TestEndpoints(t *testing.T) {
	got := endpointsOf([]api.Member{{Address: "a:1"}, {}, {Address: "b:1"}}, []string{"b:1", "c:1", "c:1"})
	if want := []string{"a:1", "b:1", "c:1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConnectFails(t *testing.T) {
	var errs, out lockedBuffer
	streams := Streams{In: strings.NewReader(""), Out: &out, Err: &errs, LookupEnv: func(string) (string, bool) { return "", false }}
	code := Main(t.Context(), []string{"status"}, streams, Dependencies{
		Connect: func(Connection) (Keepers, error) { return nil, errors.New("no such certificate") },
	})
	if code != ExitFailed || !strings.Contains(errs.String(), "no such certificate") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}
