package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
)

// TestServerConf: a server that is started anew may take back what it wrote only
// when the role of the primary is lost for good. A planned switch may give it back.
func TestServerConf(t *testing.T) {
	fence := func(kill bool) func(*rig) error {
		return func(r *rig) error {
			_, err := r.give(stamp(2, api.StepFencing), api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: "orders", Primary: me(), BoundMS: 1000, Kill: kill})
			return err
		}
	}
	follow := func(r *rig) error {
		_, err := r.give(stamp(2, api.StepPromoting), api.FollowDatasource, api.FollowDatasourceRequest{HostGroup: "orders", Replica: me(), Primary: api.Datasource{Address: primary}, Acknowledge: true})
		return err
	}
	restore := func(r *rig) error {
		r.lend()
		_, err := r.give(stamp(2, api.StepRollingBack), api.RestoreDatasource, api.RestoreDatasourceRequest{HostGroup: "orders", Primary: me()})
		return err
	}
	granted := func(g api.Grant) func(*rig) error {
		return func(r *rig) error {
			_, _, err := r.adopt(r.call, g)
			return err
		}
	}
	restarted := func(r *rig) error {
		ok(t, r.Close())
		next := reopen(r.t, r.dir, r.db, func(c *Config) { c.ServerConf = r.cfg.ServerConf })
		next.secure()
		*r = *next
		return nil
	}
	mine := granted(grant(stamp(1, api.StepIdle), 1, own, true))
	for _, test := range []struct {
		name    string
		do      []func(*rig) error
		replica bool
	}{
		{"primary", nil, false},
		{"a planned fence", []func(*rig) error{fence(false)}, false},
		{"told twice", []func(*rig) error{fence(false), fence(false)}, false},
		{"and its agent was restarted", []func(*rig) error{fence(false), restarted}, false},
		{"rolled back", []func(*rig) error{fence(false), restore}, false},
		{"the commit, by an order", []func(*rig) error{fence(false), follow}, true},
		{"the commit, by a heartbeat", []func(*rig) error{fence(false), granted(grant(stamp(2, api.StepIdle), 2, primary, true))}, true},
		{"the commit after a restart", []func(*rig) error{fence(false), restarted, follow}, true},
		{"a failover's fence", []func(*rig) error{fence(true)}, false},
		{"a failover that is rolled back", []func(*rig) error{fence(true), restore}, false},
		{"a failover's commit", []func(*rig) error{fence(true), follow}, true},
		{"a failover's commit, by a heartbeat", []func(*rig) error{fence(true), granted(grant(stamp(2, api.StepIdle), 2, primary, true))}, true},
		{"a failover's fence after a planned one", []func(*rig) error{fence(false), fence(true)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "zero.cnf")
			r := newLeased(t, writable(), func(c *Config) { c.ServerConf = path })
			ok(t, mine(r))
			for i, f := range test.do {
				if err := f(r); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
			}
			text, err := os.ReadFile(path)
			ok(t, err)
			if got := strings.Contains(string(text), "init_rpl_role = SLAVE"); got != test.replica {
				t.Errorf("started as a replica: %v, want %v\n%s", got, test.replica, text)
			}
		})
	}
}

// TestServerConfOfCandidate: a candidate keeps what it has when it is started anew in the
// middle of its promotion, and is a replica again when another was taken.
func TestServerConfOfCandidate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zero.cnf")
	r := newLeased(t, replica(), func(c *Config) { c.ServerConf = path })
	is := func(what string, want bool) {
		t.Helper()
		text, err := os.ReadFile(path)
		ok(t, err)
		if got := string(text) == confReplica; got != want {
			t.Errorf("%s: started as a replica: %v, want %v", what, got, want)
		}
	}
	hears := func(s api.Stamp, committed uint64, primary string) {
		t.Helper()
		_, _, err := r.adopt(r.call, grant(s, committed, primary, true))
		ok(t, err)
	}
	hears(stamp(1, api.StepIdle), 1, primary)
	is("a replica", true)
	_, err := r.prepare(2)
	ok(t, err)
	is("prepared", false)
	hears(stamp(2, api.StepCatchingUp), 1, primary)
	is("the old primary is still named", false)
	hears(stamp(2, api.StepPromoting), 2, other)
	is("another was taken", true)
	_, err = r.prepare(3)
	ok(t, err)
	_, err = r.promote(3)
	ok(t, err)
	is("promoted", false)
}

// TestServerConfIsWrittenOnce: clients wait for a fence, and its file says already what it
// is to say; what was not written for sure is written again.
func TestServerConfIsWrittenOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.cnf")
	var c serverConf
	written := func(what string, lost, want bool) {
		t.Helper()
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		ok(t, c.write(path, lost))
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: it is written: %v, want %v", what, err == nil, want)
		}
	}
	written("the first", false, true)
	written("the same", false, false)
	written("another", true, true)
	if err := c.write(filepath.Join(path, "under a file"), false); err == nil {
		t.Error("written under a file")
	}
	written("what it was, after a failure", true, true)
}
