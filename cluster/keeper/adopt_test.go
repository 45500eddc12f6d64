package keeper

import (
	"strings"
	"testing"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// saw is a witness of epoch 1.
func saw(address string, generation, committed uint64, primary string) witness {
	return witness{address: address, stamp: api.Stamp{Epoch: 1, Generation: generation, Step: api.StepIdle}, committed: committed, primary: primary}
}

func TestAdopt(t *testing.T) {
	silent := witness{address: db2, missing: "its agent is silent"}
	older := saw(db2, 9, 9, db2)
	older.stamp.Epoch = 0
	for _, test := range []struct {
		name       string
		witnesses  []witness
		seen       []api.Stamp
		primary    string
		committed  uint64
		generation uint64
		waits      string
	}{
		{"nothing happened since", []witness{saw(db0, 3, 3, db0), saw(db1, 3, 3, db0), saw(db2, 3, 3, db0)}, nil, db0, 3, 3, ""},
		{"a backup of generation 3, another is the primary since 5", []witness{saw(db0, 5, 3, db0), saw(db1, 5, 5, db1), saw(db2, 5, 5, db1)}, nil, db1, 5, 5, ""},
		{"it was spent, not committed", []witness{saw(db0, 7, 3, db0), saw(db1, 7, 3, db0), saw(db2, 3, 3, db0)}, nil, db0, 3, 7, ""},
		{"only a replica was told, the new primary not yet", []witness{saw(db0, 5, 3, db0), saw(db1, 5, 3, db0), saw(db2, 5, 5, db1)}, nil, db1, 5, 5, ""},
		{"one is missing", []witness{saw(db0, 3, 3, db0), saw(db1, 3, 3, db0), silent}, nil, "", 0, 0, "its agent is silent"},
		{"they disagree", []witness{saw(db0, 5, 5, db0), saw(db1, 5, 5, db1), saw(db2, 3, 3, db0)}, nil, "", 0, 0, "disagree"},
		{"one that is not configured", []witness{saw(db0, 5, 3, db0), saw(db1, 5, 5, "10.0.0.9:3306"), saw(db2, 5, 5, "10.0.0.9:3306")}, nil, "", 0, 0, "not in the configuration"},
		{"the record's own commit reached nobody", []witness{saw(db0, 3, 2, db1), saw(db1, 3, 2, db1), saw(db2, 3, 2, db1)}, nil, "", 0, 0, "the record has a commit of generation 3"},
		{"decided in a later epoch", []witness{saw(db0, 4, 4, db0), saw(db1, 4, 4, db0), older}, nil, db0, 4, 9, ""},
		{"a proxy has seen more", []witness{saw(db0, 3, 3, db0), saw(db1, 3, 3, db0), saw(db2, 3, 3, db0)}, []api.Stamp{{Epoch: 1, Generation: 8}}, db0, 3, 8, ""},
		{"bad input: one makes itself the primary", []witness{saw(db0, 3, 3, db0), saw(db1, 3, 3, db0), saw(db2, 9, 9, db2)}, nil, "", 0, 0, "only " + db2 + " says"},
		{"one alone, and a proxy has seen it", []witness{saw(db0, 3, 3, db0), saw(db1, 3, 3, db0), saw(db2, 9, 9, db2)}, []api.Stamp{{Epoch: 1, Generation: 9}}, db2, 9, 9, ""},
		{"bad input: one claims a high stamp", []witness{saw(db0, 3, 3, db0), saw(db1, 3, 3, db0), saw(db2, 900, 3, db0)}, nil, db0, 3, 900, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := adopt(&fsm.HostGroup{Name: "orders", Datasources: []string{db0, db1, db2}, Generation: 3, Committed: 3}, test.witnesses, test.seen)
			waits := strings.Join(a.waits, "; ")
			if test.waits != "" {
				if !strings.Contains(waits, test.waits) {
					t.Errorf("it waits for %q, want %q in it (%+v)", waits, test.waits, a)
				}
				return
			}
			if waits != "" || a.primary != test.primary || a.committed != test.committed || a.generation != test.generation {
				t.Errorf("adopted %s of commit %d, highest %d (waits for %q), want %s, %d, %d", a.primary, a.committed, a.generation, waits, test.primary, test.committed, test.generation)
			}
		})
	}
}
