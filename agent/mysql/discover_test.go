package mysql

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func loginAgent(string) (Login, error) {
	return Login{User: agentUser, Password: func() (string, error) { return agentPassword, nil }}, nil
}

func TestDiscover(t *testing.T) {
	a, b, c := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b, c)
	top := must[Topology](t)(Discover(t.Context(), a.address(), DiscoverOptions{Login: loginAgent, SemiSync: true}))
	if !top.Primary.OK() || top.Primary.ServerID != 1 || top.Primary.Address != a.address() {
		t.Errorf("primary %+v", top.Primary)
	}
	want := []string{b.address(), c.address()}
	slices.Sort(want)
	var got []string
	for _, m := range top.Replicas {
		got = append(got, m.Address)
		if !m.OK() || !m.State.Reachable {
			t.Errorf("replica %+v", m)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

func TestDiscoverFindsWhatIsWrong(t *testing.T) {
	a, b, c := servers(t)
	b.exec(t, "STOP SLAVE; SET GLOBAL rpl_semi_sync_slave_enabled=0, GLOBAL read_only=0; CHANGE MASTER TO MASTER_USE_GTID=no; START SLAVE")
	eventually(t, "b reads", func() bool {
		return a.value(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'") == "2"
	})
	refused := errors.New("who are you")
	login := func(address string) (Login, error) {
		if address == c.address() {
			return Login{}, refused
		}
		return loginAgent(address)
	}
	top := must[Topology](t)(Discover(t.Context(), a.address(), DiscoverOptions{Login: login, SemiSync: true}))
	for _, m := range top.Replicas {
		want := []string{RuleReadOnly, RuleSemiSync, RuleUsingGTID}
		if m.Address == c.address() {
			want = []string{RuleReachable}
		}
		if got := broken(m.Findings); !slices.Equal(got, want) || m.OK() {
			t.Errorf("%s: broken %v, want %v", m.Address, got, want)
		}
	}
	// A replica is no primary. It may have been one in another test, and not have
	// noticed yet that its replicas left.
	eventually(t, "b serves nobody", func() bool {
		return b.value(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'") == "0"
	})
	top = must[Topology](t)(Discover(t.Context(), b.address(), DiscoverOptions{Login: loginAgent}))
	if got := broken(top.Primary.Findings); !slices.Equal(got, []string{RuleSource}) || len(top.Replicas) != 0 {
		t.Errorf("broken %v, %d replicas", got, len(top.Replicas))
	}
	if _, err := Discover(t.Context(), "127.0.0.1:1", DiscoverOptions{Login: loginAgent}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
	for _, address := range []string{"", "db1", "db1:x"} {
		if _, err := Discover(t.Context(), address, DiscoverOptions{Login: loginAgent}); err == nil {
			t.Errorf("%q is accepted", address)
		}
	}
}

func TestExamineWithoutReportHost(t *testing.T) {
	m := Member{ServerID: 7}
	DiscoverOptions{}.examine(t.Context(), &m, Member{}, []string{"10.0.0.7:50412"})
	if got := broken(m.Findings); !slices.Equal(got, []string{RuleReportHost}) || !strings.Contains(m.Findings[0].Input, "10.0.0.7") {
		t.Errorf("%+v", m.Findings)
	}
}

func TestMarkClashes(t *testing.T) {
	top := Topology{Primary: Member{Address: "a:1", ServerID: 1}, Replicas: []Member{{Address: "b:1", ServerID: 2}, {Address: "c:1", ServerID: 2}, {Address: "d:1", ServerID: 1}}}
	markClashes(&top)
	for i, want := range []bool{true, false, false} {
		if m := top.Replicas[i]; m.OK() != want {
			t.Errorf("%+v", m)
		}
	}
}
