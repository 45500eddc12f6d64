package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
)

// published is every code that was ever released: a number keeps its meaning.
var published = map[Code]string{
	1: "connection failed", 1000: "the host group is not writable", 2004: "a switch of this host group is in progress",
	2008: "the candidate's load is too high", 2012: "too few votes for the switch", 2014: "the last switch of this host group ended too recently",
	2019: "the candidate does not have all of the primary's writes", 2020: "the switch is not valid", 100: "bad request",
	101: "unknown request", 102: "not authenticated", 103: "not allowed for this role", 104: "deadline exceeded", 105: "busy, try again later",
	106: "too large", 107: "cancelled", 2101: "this keeper is not the leader", 2102: "no leader", 2103: "outcome unknown",
	2104: "the order's stamp is older than one already seen", 2105: "the index was compacted; read a snapshot and resume", 2106: "not ready",
	2107: "too many requests",
}

func TestCodeTableIsAppendOnly(t *testing.T) {
	for code, text := range published {
		if got := code.String(); got != text {
			t.Errorf("code %d is %q, was published as %q", code, got, text)
		}
	}
}

// TestCodeTableIsTotal holds every constant of type Code to an entry, a
// range of the seed and a way there and back.
func TestCodeTableIsTotal(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || fmt.Sprint(spec.Type) != "Code" {
			return true
		}
		constants++
		number, err := strconv.Atoi(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		code := Code(number)
		if _, ok := codeText[code]; !ok {
			t.Errorf("%s (%d) has no text", spec.Names[0], number)
		}
		if number < 0 || number >= 4000 {
			t.Errorf("%s (%d) is outside the seed's ranges", spec.Names[0], number)
		}
		if code != OK {
			back, _ := CodeOf(fmt.Errorf("wrapped: %w", ErrorOf(code, "m", "")))
			if back != code {
				t.Errorf("%d came back as %d", code, back)
			}
		}
		return true
	})
	if constants != len(Codes()) {
		t.Errorf("%d constants, %d entries: a number is used twice", constants, len(Codes()))
	}
}

func TestErrorsAcrossTheWire(t *testing.T) {
	if err := ErrorOf(NotLeader, "ask k2", ""); !errors.Is(err, ErrNotLeader) || errors.Is(err, ErrNoLeader) {
		t.Errorf("errors.Is does not tell codes apart: %v", err)
	}
	if code, _ := CodeOf(context.DeadlineExceeded); code != Deadline {
		t.Errorf("deadline is code %d", code)
	}
	if code, _ := CodeOf(errors.New("disk on fire")); code != Common {
		t.Errorf("another error is code %d", code)
	}
	if ErrorOf(OK, "", "") != nil {
		t.Error("OK is an error")
	}
}

func TestStamp(t *testing.T) {
	order := []Stamp{{}, {0, 1, StepStopping}, {0, 1, StepIdle}, {0, 2, StepRequested}, {1, 0, 0}}
	for i, s := range order {
		for j, u := range order {
			if got, want := s.Compare(u), compareInt(i, j); got != want {
				t.Errorf("%v vs %v: %d, want %d", s, u, got, want)
			}
		}
		if back, err := ParseStamp(s.String()); err != nil || back != s {
			t.Errorf("%v came back as %v, %v", s, back, err)
		}
	}
	for _, bad := range []string{"", "1.2", "1.2.7", "1.2.3.4", "a.b.c", "-1.0.0", "1.2.300"} {
		if _, err := ParseStamp(bad); !errors.Is(err, ErrBadRequest) {
			t.Errorf("ParseStamp(%q): %v", bad, err)
		}
	}
}

func compareInt(i, j int) int {
	switch {
	case i < j:
		return -1
	case i > j:
		return 1
	}
	return 0
}

// TestSeedBodies holds the members of seed 000 to the letter.
func TestSeedBodies(t *testing.T) {
	for _, test := range []struct {
		name string
		body any
		want string
	}{
		{ConfigFetch, ConfigFetchRequest{}, `{}`},
		{ProxyRegister, ProxyRegisterRequest{}, `{}`},
		{ProxyUnregister, ProxyUnregisterRequest{Reason: "xxx"}, `{"reason":"xxx"}`},
		{ClusterDatasourcesSwitch, ClusterDatasourcesSwitchRequest{HostGroup: "hostGroup1", ToIndex: 1, Reason: "r"}, `{"hostGroup":"hostGroup1","fromIndex":0,"toIndex":1,"reason":"r"}`},
		{PushConfig, PushConfigRequest{"1", "yaml content"}, `{"configId":"1","content":"yaml content"}`},
		{RollbackConfig, RollbackConfigRequest{}, `{}`},
		{UnregisterProxy, UnregisterProxyRequest{"disk"}, `{"reason":"disk"}`},
		{ActivateProxy, ActivateProxyRequest{}, `{}`},
		{ProxyVoteFetch, ProxyVoteFetchRequest{"hostGroup1", 1}, `{"hostGroup":"hostGroup1","toIndex":1}`},
		{SwitchProxyDatasource, SwitchProxyDatasourceRequest{HostGroup: "hostGroup1", ToIndex: 1}, `{"hostGroup":"hostGroup1","toIndex":1}`},
		{RollbackProxyDatasource, RollbackProxyDatasourceRequest{"hostGroup1"}, `{"hostGroup":"hostGroup1"}`},
		{StopWritingProxyDatasource, StopWritingProxyDatasourceRequest{HostGroup: "hostGroup1"}, `{"hostGroup":"hostGroup1","index":0}`},
		{RecoverWritingProxyDatasource, RecoverWritingProxyDatasourceRequest{HostGroup: "hostGroup1"}, `{"hostGroup":"hostGroup1","index":0}`},
		{LoadFetch, LoadFetchRequest{}, `{}`},
		{BinlogFetch, BinlogFetchRequest{"master"}, `{"role":"master"}`},
		{"BinlogFetch answer", Binlog{File: "binlog-1213213.log", Position: 12301}, `{"file":"binlog-1213213.log","position":12301}`},
	} {
		got, err := json.Marshal(test.body)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %s, %v; want %s", test.name, got, err, test.want)
		}
	}
}
