package ctl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
)

// TestGolden holds the output of every command, in both formats, to a file.
func TestGolden(t *testing.T) {
	valid := writeFile(t, validConfig)
	broken := writeFile(t, "basic:\n  config_name: prod\n  nonsense: 1\n")
	unhealthyView := func(f *fake) {
		f.handlers[api.ClusterView] = say(api.ClusterViewAnswer{
			ClusterID: "5f3c", Epoch: 1, Leader: members[0], Members: members,
			Groups: []api.Group{orders}, Proxies: []api.Proxy{proxyOne, proxyTwo}, Agents: []api.Agent{agentOne, agentTwo},
			Problems: []string{"proxy p2 is lost", "agent of 10.0.1.2:3306 is lost"},
		})
		delete(f.nodes, "10.0.0.3:7001")
	}
	noLeader := func(f *fake) {
		f.down = &api.Error{Code: api.NoLeader, Msg: "no leader"}
		delete(f.nodes, "10.0.0.1:7001")
	}
	for _, test := range []struct {
		name   string
		args   string
		change func(*fake)
		code   int
	}{
		{"status", "status", nil, 0},
		{"status-unhealthy", "status", unhealthyView, 5},
		{"status-no-leader", "status", noLeader, 5},
		{"status-unreachable", "status", func(f *fake) { f.nodes = nil }, 2},
		{"member-list", "member list", nil, 0},
		{"member-list-unreachable", "member list", func(f *fake) { delete(f.nodes, "10.0.0.2:7001") }, 0},
		{"member-list-no-leader", "member list", noLeader, 2},
		{"member-remove", "member remove k2", nil, 0},
		{"member-remove-refused", "member remove k2", func(f *fake) {
			f.handlers[api.MemberRemove] = refuse(api.NotReady, "without it 1 of 2 voters would be reachable, too few to go on: bring the others back first")
		}, 2},
		{"leader-show", "leader show", nil, 0},
		{"leader-transfer", "leader transfer --to k1", nil, 0},
		{"config-validate", "config validate " + valid, nil, 0},
		{"config-validate-broken", "config validate " + broken, nil, 3},
		{"config-push", "config push " + valid + " --comment more", nil, 0},
		{"config-push-refused", "config push " + valid, func(f *fake) {
			f.handlers[api.ConfigPush] = say(api.ConfigPushAnswer{ConfigID: "2.0.0", Cluster: "prod", Proxies: acks, RolledBack: "3.0.0"})
		}, 4},
		{"config-list", "config list", nil, 0},
		{"config-show", "config show", nil, 0},
		{"config-diff", "config diff " + valid, nil, 0},
		{"config-rollback", "config rollback", nil, 5},
		{"group-list", "group list", nil, 0},
		{"group-show", "group show orders", nil, 0},
		{"group-show-frozen", "group show orders", func(f *fake) {
			f.handlers[api.GroupList] = say(api.GroupListAnswer{Groups: []api.Group{frozenOrders()}})
		}, 0},
		{"group-thaw", "group thaw orders --primary 10.0.1.1:3306", nil, 0},
		{"group-thaw-yes", "group thaw orders --primary 10.0.1.1:3306 --reason burned --yes", func(f *fake) {
			f.handlers[api.GroupThaw] = say(api.GroupThawAnswer{Done: true, Frozen: "the keepers were restored"})
		}, 0},
		{"group-thaw-refused", "group thaw orders --primary 10.0.1.1:3306", func(f *fake) {
			f.handlers[api.GroupThaw] = refuse(api.NotFrozen, "host group orders is not frozen")
		}, 4},
		{"proxy-list", "proxy list", nil, 0},
		{"proxy-activate", "proxy activate p1", nil, 0},
		{"proxy-unregister", "proxy unregister p1 --reason disk", nil, 0},
		{"agent-list", "agent list", nil, 0},
		{"agent-load", "agent load 10.0.1.1:3306", nil, 0},
		{"agent-binlog", "agent binlog 10.0.1.1:3306 --role slave", nil, 0},
		{"section-get", "section get host disks", nil, 0},
		{"section-put", "section put host disks data", nil, 0},
		{"switch-start", "switch start --group orders --to 1 --reason drill", nil, 0},
		{"switch-start-no-wait", "switch start --group orders --to 1 --reason drill --no-wait", nil, 0},
		{"switch-list", "switch list", nil, 0},
		{"switch-show", "switch show sw-7", nil, 0},
		{"switch-show-rolled-back", "switch show sw-8", func(f *fake) { f.handlers[api.SwitchShow] = say(rolledBack) }, 0},
		{"switch-show-open", "switch show sw-9", func(f *fake) { f.handlers[api.SwitchShow] = say(openSwitch) }, 0},
		{"switch-show-failover", "switch show orders-12", func(f *fake) { f.handlers[api.SwitchShow] = say(losslessFailover) }, 0},
		{"switch-show-failover-loss", "switch show orders-13", func(f *fake) { f.handlers[api.SwitchShow] = say(lossyFailover()) }, 0},
		{"switch-show-refused", "switch show orders-14", func(f *fake) { f.handlers[api.SwitchShow] = say(refusedFailover) }, 0},
		{"switch-show-superseded", "switch show orders-15", func(f *fake) { f.handlers[api.SwitchShow] = say(superseded()) }, 0},
		{"switch-ack", "switch ack orders-12 --reason seen", nil, 0},
		{"switch-ack-refused", "switch ack orders-12", func(f *fake) {
			f.handlers[api.SwitchAck] = refuse(api.Conflict, "switch orders-12 was acknowledged already, by ada@bastion at 2026-03-01 02:03:04 UTC")
		}, 4},
		{"switch-dry-run", "switch start --group orders --to 1 --dry-run", nil, 0},
		{"switch-dry-run-refused", "switch start --group orders --failover --dry-run", func(f *fake) { f.handlers[api.SwitchDryRun] = say(refusedDryRun) }, 4},
		{"group-maintenance-on", "group maintenance orders on --reason disks --for 2h", nil, 0},
		{"group-maintenance-off", "group maintenance orders off", nil, 0},
		{"group-show-held", "group show orders", func(f *fake) { f.handlers[api.GroupList] = say(api.GroupListAnswer{Groups: []api.Group{heldGroup()}}) }, 0},
		{"brake-on", "brake on --reason storm", nil, 0},
		{"brake-off", "brake off", nil, 0},
		{"status-braked", "status", func(f *fake) {
			f.handlers[api.ClusterView] = say(api.ClusterViewAnswer{
				ClusterID: "5f3c", Epoch: 1, Leader: members[0], Members: members, Brake: &api.Hold{By: "ada@bastion", Reason: "storm", Since: at(0)},
				Problems: []string{"THE BRAKE IS ON, by ada@bastion since 2026-03-01 02:03:04 UTC, until it is taken off: storm: nothing is switched by itself in the whole cluster"},
			})
		}, 5},
		{"switch-abort", "switch abort sw-7 --reason wrong", nil, 0},
		{"refused", "switch start --group orders --to 1 --reason drill", func(f *fake) {
			f.handlers[api.SwitchStart] = refuse(api.SwitchInProgress, "switch sw-6 of orders is in progress")
		}, 4},
	} {
		for _, format := range []string{formatTable, formatJSON} {
			t.Run(test.name+"/"+format, func(t *testing.T) {
				f := healthy()
				if test.change != nil {
					test.change(f)
				}
				got := run{fake: f, env: threeKeepers}.do(append(strings.Fields(test.args), "-o", format)...)
				if got.code != test.code {
					t.Errorf("exit %d, want %d\n%s", got.code, test.code, got.err)
				}
				if format == formatJSON && !json.Valid([]byte(got.out)) {
					t.Errorf("no JSON: %s", got.out)
				}
				if strings.Contains(got.out+got.err, "\x1b") {
					t.Error("there are escape sequences without a terminal")
				}
				text := got.out + "--- stderr ---\n" + got.err
				text = strings.NewReplacer(valid, "zero.yaml", broken, "broken.yaml").Replace(text)
				golden(t, filepath.Join(format, test.name+".txt"), text)
			})
		}
	}
}

const validConfig = `basic:
  config_name: prod
  user: zero
  password: ${file:/etc/zero/db.pw}
host_groups:
  - name: orders
    write: 10.0.1.1:3306, 10.0.1.2:3306
    read: 10.0.1.2:3306@2
users:
  - name: app
    password: ${env:APP_PW}
    host_group: orders
`

// writeFile makes a file of that content.
func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "zero.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
