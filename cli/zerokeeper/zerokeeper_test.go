package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/cluster"
	"github.com/zerokeeper/zero/fsm"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "4096": 4096, "64MiB": 64 << 20, "1GiB": 1 << 30, "3KiB": 3 << 10} {
		var s size
		if err := s.Set(text); err != nil || int64(s) != want {
			t.Errorf("%s is %d, %v", text, s, err)
		}
		var back size
		if err := back.Set(s.String()); err != nil || back != s {
			t.Errorf("%s is printed as %s", text, &s)
		}
	}
	for _, text := range []string{"", "-1", "64MB", "MiB", "1.5GiB", "99999999999GiB"} {
		if err := new(size).Set(text); err == nil {
			t.Errorf("%q is a size", text)
		}
	}
}

func TestValidateDisk(t *testing.T) {
	valid := func() *options {
		o := new(options)
		o.app()
		o.name, o.data, o.expect = "k1", "d", 1
		return o
	}
	if err := valid().validate(); err != nil {
		t.Fatalf("the defaults: %v", err)
	}
	o := valid()
	o.diskTimeout = time.Second
	if err := o.validate(); err == nil || !strings.Contains(err.Error(), "--disk-timeout") {
		t.Errorf("a disk timeout of two elections: %v", err)
	}
}

// A process whose disk hangs closes its port, and exits even if what serves, or
// the log, does not come back.
func TestAbandon(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	codes := make(chan int, 1)
	v := verdict{exit: func(code int) { codes <- code }}
	ctx, cancel := context.WithCancel(t.Context())
	var servers sync.WaitGroup
	forever := make(chan struct{})
	servers.Go(func() { <-forever })
	defer close(forever)
	start := time.Now()
	v.abandon(listener, cancel, &servers)
	if ctx.Err() == nil || time.Since(start) > 2*hungGrace {
		t.Errorf("still serving after %v", time.Since(start))
	}
	if c, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the port is still open")
	}
	if code := v.code(1); code != exitDiskHung {
		t.Errorf("exit code %d", code)
	}
	select {
	case code := <-codes:
		if code != exitDiskHung {
			t.Errorf("exits with %d", code)
		}
	case <-time.After(5 * hungGrace):
		t.Error("does not exit")
	}
}

// run runs one of the keeper's commands.
func run(t *testing.T, data string, command func(*options) *cobra.Command, args ...string) (string, error) {
	t.Helper()
	o := &options{data: data, listen: "127.0.0.1:1"}
	cmd := command(o)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestOfflineCommands(t *testing.T) {
	inspect := func(o *options) *cobra.Command { return o.inspectCommand() }
	mend := func(o *options) *cobra.Command { return o.recoverCommand() }
	data := filepath.Join(t.TempDir(), "k1")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := cluster.DefaultConfig()
	cfg.Name, cfg.DataDir, cfg.Listener, cfg.Advertise, cfg.BootstrapExpect, cfg.DiskReserve = "k1", data, listener, listener.Addr().String(), 1, 0
	cfg.Logger = hclog.NewNullLogger()
	node, err := cluster.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := node.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Propose(ctx, fsm.Header{}, &fsm.PutSection{ID: "a", Section: "s", Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, data, inspect); !errors.Is(err, cluster.ErrInUse) {
		t.Errorf("inspecting a keeper that runs: %v", err)
	}
	if err := node.Close(ctx); err != nil {
		t.Fatal(err)
	}

	text, err := run(t, data, inspect)
	if err != nil || !strings.Contains(text, "member     "+node.ID()) || !strings.Contains(text, "epoch 0") || strings.Contains(text, "PROBLEM") {
		t.Errorf("%v\n%s", err, text)
	}
	text, err = run(t, data, inspect, "--json")
	var in cluster.Inspection
	if err != nil || json.Unmarshal([]byte(text), &in) != nil || in.MemberID != node.ID() || in.StateHash == "" {
		t.Errorf("%v\n%s", err, text)
	}

	tests := []struct {
		name string
		args []string
		want string // in output or error
		ok   bool
	}{
		{"neither", nil, "one of --skip", false},
		{"both", []string{"--alone", "--skip", "3"}, "one of --skip", false},
		{"skip what halts nobody", []string{"--skip", "3", "--yes"}, "nothing in this keeper's log halts it", false},
		{"skip what is not there", []string{"--skip", "3000"}, "not in this keeper's log", false},
		{"alone, asked", []string{"--alone"}, "run it again with --yes", true},
		{"alone", []string{"--alone", "--yes"}, "raises the cluster epoch to 1", true},
	}
	for _, test := range tests {
		out, err := run(t, data, mend, test.args...)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
		if err != nil {
			out += err.Error()
		}
		if !strings.Contains(out, test.want) {
			t.Errorf("%s: %s", test.name, out)
		}
	}
	if text, err = run(t, data, inspect); err != nil || !strings.Contains(text, "epoch 1") {
		t.Errorf("after it: %v\n%s", err, text)
	}
	for _, command := range []func(*options) *cobra.Command{inspect, mend} {
		if _, err := run(t, "", command, "--help=false"); !errors.Is(err, errNoData) {
			t.Errorf("without --data: %v", err)
		}
	}
}
