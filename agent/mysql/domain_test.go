package mysql

import "testing"

func TestBadInputCandidateOfAnotherDomain(t *testing.T) {
	for _, test := range []struct {
		name   string
		pos    string
		domain uint32
		ok     bool
	}{
		{"the same", "0-1-99", 0, true},
		{"another", "0-1-99", 5, false},
		{"one of several", "0-1-99,5-2-7", 5, true},
		{"nothing replicated yet", "", 5, true},
		{"nonsense", "x", 0, false},
	} {
		f := domainFinding(State{GTIDSlavePos: test.pos, GTIDDomain: test.domain})
		if f.OK != test.ok || f.Input == "" || f.OK != (f.Detail == "") || f.Rule != RuleDomain {
			t.Errorf("%s: %+v", test.name, f)
		}
	}
}
