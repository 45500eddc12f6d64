package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

// A server that could not follow is out of the record, and only what the record names follows. When it was built anew while its
// agent ran, the agent has to take its alarm back, or nobody ever names it again.
func TestBuiltAnew(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		binlog  string // of the server built anew
		byHand  bool   // replication was set up as well
		alarmed string
	}{
		{name: "errant", err: &mysql.ErrantError{GTIDs: []mysql.GTID{{Domain: 0, Server: 7, Seq: 9}}}, binlog: "0-1-4"},
		{name: "errant, and replication by hand", err: &mysql.ErrantError{GTIDs: []mysql.GTID{{Domain: 0, Server: 7, Seq: 9}}}, binlog: "0-1-4", byHand: true},
		{name: "purged", err: fmt.Errorf("following: %w", mysql.ErrPurged), binlog: "0-1-5"},
		{name: "with others of its own", err: &mysql.ErrantError{GTIDs: []mysql.GTID{{Domain: 0, Server: 7, Seq: 9}}}, binlog: "0-1-4,0-7-3", alarmed: "errant"},
		{name: "touched by nobody", err: &mysql.ErrantError{GTIDs: []mysql.GTID{{Domain: 0, Server: 7, Seq: 9}}}, binlog: "0-7-9", alarmed: "errant"},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := fenced()
			state.GTIDBinlogState = "0-7-9"
			r := newLeased(t, state)
			r.db.set(func() { r.db.fail["Follow"] = c.err })
			named := grant(stamp(1, api.StepIdle), 1, primary, true)
			named.Acknowledge = true
			if err := r.hear(named); err == nil {
				t.Fatal("it followed")
			}
			if r.heartbeat(1).Unfit == "" {
				t.Fatal("it is not said to be unfit")
			}
			dropped := named
			dropped.Acknowledge = false
			r.db.set(func() {
				r.db.fail["Follow"] = errors.New("not before it is recorded")
				r.db.state.GTIDBinlogState = c.binlog
				if c.byHand {
					r.db.state.Replication = replicating(primary)
				}
			})
			ok(t, r.hear(dropped))
			r.alarmed(c.alarmed)
			if unfit := r.heartbeat(1).Unfit; (unfit == "") != (c.alarmed == "") {
				t.Errorf("unfit: %q", unfit)
			}
		})
	}
}

// A candidate that was cloned without its source's history would be found out when writes are held already.
func TestPreflightFindsAForgetfulClone(t *testing.T) {
	state := writable()
	state.GTIDBinlogState = "0-1-5,0-7-9"
	for candidate, good := range map[string]bool{"0-1-5,0-7-9": true, "0-1-5,0-7-8": true, "0-1-5": true, "0-7-9": false} {
		if f := errantCheck(candidate, state); f.OK != good || !good && !strings.Contains(f.Detail, "0-1-5") {
			t.Errorf("candidate with %s: %+v", candidate, f)
		}
	}
}
