package keeper

import (
	"strings"
	"testing"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// TestIgnored: who has more than the new primary, and does not count, is named.
func TestIgnored(t *testing.T) {
	chosen := contender{address: "b", stopped: true, received: "0-2-9"}
	errant := func(own string) contender {
		return contender{address: "a", stopped: true, outside: true, received: "0-2-4", own: own, excluded: "errant"}
	}
	for _, test := range []struct {
		name   string
		list   []contender
		others []bystander
		want   string // in what is said; empty: nothing is
	}{
		{"nobody", []contender{chosen}, nil, ""},
		{"an errant one that is ahead", []contender{errant("0-1-12"), chosen}, nil, "a has 0-1-12, which b lacks"},
		{"an errant one that is behind", []contender{errant("0-1-8"), chosen}, nil, ""},
		{"one without writes of its own", []contender{errant(""), chosen}, nil, ""},
		{"ahead in another domain", []contender{errant("1-1-1"), chosen}, nil, "a has 1-1-1"},
		{"one that is not recorded, and ahead", []contender{chosen}, []bystander{{"c", "0-2-10"}}, "c has 0-2-10, which b lacks, and is ignored: it is not in the record"},
		{"one that is not recorded, and behind", []contender{chosen}, []bystander{{"c", "0-2-9"}, {"d", ""}}, ""},
		{"nobody was chosen", []contender{errant("0-1-12")}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(ignored(test.list, test.others, "b"), "; ")
			if !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// TestErrantKeepsItsOwn: what an errant server wrote itself is noted, and does not count.
func TestErrantKeepsItsOwn(t *testing.T) {
	state := api.AgentState{ServerID: "1", Unfit: "errant", Received: "0-1-9", Binlog: &api.Binlog{GTIDBinlogState: "0-1-12,0-2-4"}}
	if c := outside(contender{stopped: true}, &fsm.Switch{FromServer: "2"}, state); c.own != "0-1-12" || c.received != "0-2-4" {
		t.Errorf("%+v", c)
	}
}
