package conf

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func example(t testing.TB) string {
	t.Helper()
	content, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// minimal is the shortest valid document.
const minimal = `basic: {config_name: c, user: u, password: "${env:P}"}
host_groups:
- {name: g, write: "10.0.0.1:3306,10.0.0.2:3306"}
users:
- {name: app, password: "${env:A}", host_group: g}
`

func mustParse(t testing.TB, content string) *Config {
	t.Helper()
	c, err := Parse([]byte(content), Options{})
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return c
}

func TestExample(t *testing.T) {
	c := mustParse(t, example(t))
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
	rules := Switch{
		NeedVote: true, VoteApproveRatio: 50, NeedLoadCheck: true, SafeLoad: 8, NeedBinlogCheck: true,
		SafeBinlogDelay: 16777216, BinlogWaitTime: 5 * time.Second, Frequency: 10 * time.Second,
		PingInterval: 250 * time.Millisecond, PingCount: 3, DrainTimeout: 5 * time.Second,
		FenceTimeout: 2 * time.Second, HoldTimeout: 15 * time.Second, MaxHeld: 10000, MaxHeldBytes: 64 << 20, Policy: PolicyLossless, HungAfter: 10 * time.Second, SafeLag: 10 * time.Second, AutoAckAfter: time.Hour,
	}
	orders := rules
	orders.Frequency, orders.SafeLoad = 30*time.Second, 12.5
	ds := func(host string) Datasource {
		address := host + ":3306"
		if strings.Contains(host, ":") {
			address = "[" + host + "]:3306"
		}
		return Datasource{Address: address, Host: host, Port: 3306}
	}
	want := &Config{
		Name: "shop", SlowLogTime: time.Second,
		StopService: StopService{Enabled: true, RejectedSwitches: 3, DownGroups: 1, Recover: true},
		Switch:      rules,
		HostGroups: []HostGroup{
			{
				Name: "orders", EnableSwitch: true, MaxConn: 2048, InitConn: 16, activeGiven: true,
				Write: []Datasource{ds("10.0.1.11"), ds("10.0.1.12")},
				Read:  []ReadSource{{ds("10.0.1.12"), 10}, {ds("10.0.1.13"), 5}},
				User:  "zero_probe", Password: "${file:/etc/zero/probe.pw}", Switch: orders,
			},
			{
				Name: "catalog", EnableSwitch: true, MaxConn: 1024,
				Write: []Datasource{ds("db-cat-1.example.net"), ds("db-cat-2.example.net")},
				Read:  []ReadSource{{ds("2001:db8::13"), 2}},
				User:  "catalog_probe", Password: "${env:ZERO_CATALOG_PASSWORD}", Switch: rules,
			},
		},
		Users: []User{
			{
				Name: "shop_app", Password: "${file:/etc/zero/shop_app.pw}", HostGroup: "orders", MaxConnections: 500,
				BackendUser: "orders_rw", BackendPassword: "${file:/etc/zero/orders_rw.pw}", Mapped: true,
			},
			{
				Name: "reporting", Password: "${file:/etc/zero/reporting.pw}", HostGroup: "catalog", MaxConnections: 1000,
				BackendUser: "reporting", BackendPassword: "${file:/etc/zero/reporting.pw}",
			},
		},
		digest: Digest([]byte(example(t))),
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}
}

func TestDefaults(t *testing.T) {
	c := mustParse(t, minimal)
	if c.StopService.Enabled {
		t.Error("stop_service is enabled though absent")
	}
	if c.SlowLogTime != time.Second || c.PushWhenFail {
		t.Errorf("basic: %+v", c)
	}
	if c.Switch != DefaultSwitch() || c.HostGroups[0].Switch != DefaultSwitch() {
		t.Errorf("switch: %+v", c.Switch)
	}
	s := DefaultSwitch()
	if s.HoldTimeout != 15*time.Second || !s.NeedVote || !s.NeedBinlogCheck || s.NeedLoadCheck {
		t.Errorf("DefaultSwitch: %+v", s)
	}
	if s.HoldTimeout <= s.mustOutlast() {
		t.Errorf("the defaults contradict each other: %+v", s)
	}
	g := c.HostGroups[0]
	if !g.EnableSwitch || g.MaxConn != 1024 || g.InitConn != 0 || g.ActiveWrite != 0 || g.GivenActive() != -1 {
		t.Errorf("host group: %+v", g)
	}
	if c.Users[0].MaxConnections != 1000 {
		t.Errorf("user: %+v", c.Users[0])
	}
}

func TestSwitchOverrides(t *testing.T) {
	c := mustParse(t, minimal+`switch: {frequency: 1m, drain_timeout: 8, need_vote: true, safe_load: 3}
`)
	if c.Switch.HoldTimeout != 18*time.Second {
		t.Errorf("hold_timeout did not follow drain_timeout: %v", c.Switch.HoldTimeout)
	}
	c = mustParse(t, strings.Replace(minimal, `{name: g,`, `{name: g, switch: {need_vote: false, need_load_check: true, fence_timeout: 100ms},`, 1)+
		"switch: {frequency: 1m, safe_load: 3}\n")
	g, ok := c.HostGroup("g")
	if !ok || g.Switch.NeedVote || g.Switch.Frequency != time.Minute || g.Switch.SafeLoad != 3 || !g.Switch.NeedLoadCheck ||
		g.Switch.HoldTimeout != 13100*time.Millisecond {
		t.Errorf("group: %+v", g.Switch)
	}
	if !c.Switch.NeedVote || c.Switch.NeedLoadCheck {
		t.Errorf("the override changed the global rules: %+v", c.Switch)
	}
}

func TestDurationNotations(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
	}{
		{"2", 2 * time.Second}, {"250ms", 250 * time.Millisecond}, {`"1m30s"`, 90 * time.Second},
		{"'1s'", time.Second}, {"1.5s", 1500 * time.Millisecond}, {"120", 2 * time.Minute},
	}
	for _, test := range tests {
		c := mustParse(t, minimal+"switch: {binlog_wait_time: "+test.text+"}\n")
		if c.Switch.BinlogWaitTime != test.want {
			t.Errorf("%s: got %v", test.text, c.Switch.BinlogWaitTime)
		}
	}
	if c := mustParse(t, minimal+"switch: {backend_ping_interval: 0}\n"); c.Switch.PingInterval != 250*time.Millisecond {
		t.Errorf("backend_ping_interval 0 is not the default: %v", c.Switch.PingInterval)
	}
	if c := mustParse(t, minimal+"stop_service: {offline_down_host_num: 0}\n"); c.StopService.DownGroups != 1 {
		t.Errorf("offline_down_host_num 0: %+v", c.StopService)
	}
}

func TestDev(t *testing.T) {
	content := `basic: {config_name: c, user: root}
host_groups:
- {name: g, write: "127.0.0.1:3306"}
users:
- {name: a, password: "S3cr3t!", host_group: g}
- {name: b, password: "", host_group: g}
- {name: c, host_group: g, backend_user: d}
`
	if _, err := Parse([]byte(content), Options{}); err == nil {
		t.Error("accepted without Dev")
	}
	c, err := Parse([]byte(content), Options{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	if c.Users[0].Password != "S3cr3t!" || c.Users[1].Password != "" || c.Users[2].BackendUser != "d" {
		t.Error("users do not have their passwords")
	}
	printed := fmt.Sprintf("%v %+v %#v %s", c, c, c, c.Warnings)
	if strings.Contains(printed, "S3cr3t") {
		t.Error("a printed Config shows a literal password")
	}
	if len(c.Warnings) != 3 { // two literals, one datasource alone
		t.Errorf("warnings: %v", c.Warnings)
	}
}

func TestWarnings(t *testing.T) {
	c := mustParse(t, `basic: {config_name: c, user: u, password: "${env:P}"}
host_groups:
- {name: g, write: "10.0.0.1:3306"}
- {name: h, write: "10.0.0.2:3306", enable_switch: false, switch: {need_vote: false}}
`)
	want := []string{
		`line 1:1: users: there are none: no client can log in`,
		`line 3:4: host_groups[0].enable_switch: there is one datasource; nothing can be switched to`,
		`line 4:79: host_groups[1].switch.need_vote: one proxy that cannot reach the primary is enough for a switch`,
	}
	var got []string
	for _, w := range c.Warnings {
		got = append(got, w.String())
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestErrorsAreInvalid(t *testing.T) {
	_, err := Parse([]byte("x: 1\n"), Options{})
	var list *Errors
	if !errors.Is(err, ErrInvalid) || !errors.As(err, &list) || len(list.Issues) == 0 {
		t.Errorf("got %T %v", err, err)
	}
}

func TestErrorsAreBoundedAndSorted(t *testing.T) {
	var b strings.Builder
	b.WriteString("host_groups:\n")
	for range MaxHostGroups {
		b.WriteString("- {name: '!', write: '', read: 'x', max_conn: 1, init_conn: -1}\n")
	}
	_, err := Parse([]byte(b.String()), Options{})
	var list *Errors
	if !errors.As(err, &list) {
		t.Fatal(err)
	}
	if len(list.Issues) != MaxErrors || list.More < MaxHostGroups {
		t.Errorf("%d issues and %d more", len(list.Issues), list.More)
	}
	if !strings.Contains(err.Error(), " more errors") {
		t.Errorf("the rest is not mentioned: %v", err)
	}
	for i := 1; i < len(list.Issues); i++ {
		a, b := list.Issues[i-1], list.Issues[i]
		if a.Line > b.Line || a.Line == b.Line && a.Column > b.Column {
			t.Fatalf("not in order: %v after %v", b, a)
		}
	}
}

func TestConfigLookups(t *testing.T) {
	c := mustParse(t, example(t))
	g, ok := c.HostGroup("catalog")
	if !ok || g.Name != "catalog" {
		t.Fatal("HostGroup(catalog)")
	}
	if _, ok := c.HostGroup("none"); ok {
		t.Error("HostGroup(none)")
	}
	if u, ok := c.User("reporting"); !ok || u.Name != "reporting" {
		t.Error("User(reporting)")
	}
	if _, ok := c.User("none"); ok {
		t.Error("User(none)")
	}
	addresses := g.Addresses()
	if !reflect.DeepEqual(addresses, []string{"db-cat-1.example.net:3306", "db-cat-2.example.net:3306"}) {
		t.Errorf("Addresses: %v", addresses)
	}
	for i, address := range addresses {
		ds, ok := g.Datasource(i)
		if !ok || ds.Address != address || g.IndexOf(address) != i {
			t.Errorf("datasource %d: %v %v", i, ds, ok)
		}
	}
	for _, i := range []int{-1, 2} {
		if _, ok := g.Datasource(i); ok {
			t.Errorf("Datasource(%d)", i)
		}
	}
	if g.IndexOf("other:1") != -1 {
		t.Error("IndexOf of a stranger")
	}
	if c.Digest() != Digest([]byte(example(t))) || len(c.Digest()) != 64 || c.Digest() == Digest([]byte("x")) {
		t.Error("Digest")
	}
}
