package ctl

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

func TestTopologyOf(t *testing.T) {
	got := topologyOf(mysql.Topology{
		Primary: mysql.Member{
			Address: "10.0.1.1:3306", State: mysql.State{Version: "10.11.6-MariaDB", Reachable: true},
			Findings: []mysql.Finding{{Rule: mysql.RuleLogBin, OK: true}, {Rule: mysql.RuleSemiSync, Input: "off"}},
		},
		Replicas: []mysql.Member{
			{ServerID: 7, Findings: []mysql.Finding{{Rule: mysql.RuleReportHost, Detail: "set report_host"}}},
			{Address: "10.0.1.2:3306", ServerID: 8, State: mysql.State{ReadOnly: true, Reachable: true}},
		},
	})
	if len(got.Replicas) != 1 || got.Replicas[0].Address != "10.0.1.2:3306" || !got.Replicas[0].ReadOnly {
		t.Errorf("replicas: %+v", got.Replicas)
	}
	if len(got.Findings) != 2 || got.Findings[0].Problem || got.Findings[0].Rule != mysql.RuleSemiSync {
		t.Errorf("findings: %+v", got.Findings)
	}
	if f := got.Findings[1]; !f.Problem || f.Server != "server_id 7" {
		t.Errorf("a replica without an address: %+v", f)
	}
}

func TestDiscoverNobody(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	closed.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := DiscoverMySQL(ctx, DiscoverRequest{Primary: address, User: "root"}); codeOf(err) != api.MySQLUnreachable || exitOf(err) != ExitFailed {
		t.Errorf("code %d, exit %d: %v", codeOf(err), exitOf(err), err)
	}
}
