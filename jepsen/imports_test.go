package jepsen

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// layer says what the packages of a directory and below may import. The longest matching directory counts.
type layer struct {
	dir   string
	own   []string // directories of this module, each with all below it
	not   []string // exceptions from own
	tests []string // what its _test.go files may import besides own
	libs  []string // modules from elsewhere; nil is any that no row of exclusive forbids
	noStd []string // packages of the standard library that only its tests may import, each with all below it
}

// layers is the picture of the tree, and every directory with Go files must be in it.
var layers = []layer{
	{dir: "fsm", own: []string{"fsm"}, libs: []string{memdb}, noStd: impure},
	{dir: "transport", own: []string{"transport"}, libs: []string{hclog}},
	{dir: "transport/conf", own: []string{"transport"}, libs: []string{yaml}},
	{dir: "transport/api", own: []string{"transport/api"}, libs: []string{}},
	{dir: "cluster", own: []string{"cluster", "fsm", "transport"}, not: []string{"cluster/keeper"}},
	// The keeper's duties see the node through interfaces of their own; a test may bring both together.
	{dir: "cluster/keeper", own: []string{"cluster/keeper", "fsm", "transport"}, tests: []string{"cluster"}},
	{dir: "proxy", own: []string{"proxy", "transport"}},
	{dir: "agent", own: []string{"agent", "transport"}},
	{dir: "cli", own: []string{"fsm", "cluster", "transport", "proxy", "agent", "cli"}},
	{dir: "jepsen", own: []string{"fsm", "cluster", "transport", "proxy", "agent", "cli", "jepsen"}},
}

const (
	hclog = "github.com/hashicorp/go-hclog"
	memdb = "github.com/hashicorp/go-memdb"
	yaml  = "github.com/goccy/go-yaml"
)

// impure are the packages through which a state machine could see anything but the log.
var impure = []string{"net", "os", "syscall", "math/rand", "crypto/rand", "log", "runtime", "plugin", "unsafe"}

// exclusive are the modules that stay in one corner, so that the others can do without.
var exclusive = map[string][]string{
	yaml:                                           {"transport/conf", "cli"},
	memdb:                                          {"fsm", "cluster"},
	"github.com/hashicorp/raft":                    {"cluster", "jepsen"},
	"github.com/hashicorp/raft-boltdb":             {"cluster", "jepsen"},
	"github.com/hashicorp/raft-wal":                {"cluster", "jepsen"},
	"github.com/hashicorp/raft-autopilot":          {"cluster", "jepsen"},
	"go.etcd.io/bbolt":                             {"cluster", "jepsen"},
	"google.golang.org/grpc":                       {"agent/rpc", "jepsen"},
	"github.com/go-mysql-org/go-mysql":             {"agent"},
	"github.com/go-mysql-org/go-mysql/replication": {"agent/backup"},
	"github.com/minio/minio-go":                    {"agent/backup", "jepsen"},
	"github.com/spf13":                             {"cli"},
}

// forTests are the modules that only tests, and jepsen, may import.
var forTests = []string{"go.uber.org/goleak", "github.com/anishathalye/porcupine", "github.com/google/nftables", "github.com/hanwen/go-fuse",
	"github.com/vishvananda/netns"}

func layerOf(dir string) (layer, bool) {
	var best layer
	for _, l := range layers {
		if within(dir, l.dir) && len(l.dir) > len(best.dir) {
			best = l
		}
	}
	return best, best.dir != ""
}

func anyWithin(p string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return within(p, dir) })
}

func importRules(t *tree) []string {
	var bad []string
	for _, f := range t.source {
		l, ok := layerOf(f.dir)
		if !ok {
			bad = append(bad, t.at(f.ast.Package, "%s is in no layer: the table of allowed imports does not know it", f.dir))
			continue
		}
		f.imports(func(spec *ast.ImportSpec, p string) {
			if why := l.refuses(f, p); why != "" {
				bad = append(bad, t.at(spec.Pos(), "%s imports %s: %s", f.dir, p, why))
			}
		})
	}
	return bad
}

// refuses says why a file of the layer may not import p, or nothing.
func (l layer) refuses(f sourceFile, p string) string {
	if own, ok := strings.CutPrefix(p, module+"/"); ok {
		if f.test && anyWithin(own, l.tests) {
			return ""
		}
		if !anyWithin(own, l.own) || anyWithin(own, l.not) {
			return l.dir + " may import of zero only " + strings.Join(l.own, ", ") + except(l.not)
		}
		return ""
	}
	if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") { // the standard library
		if !f.test && anyWithin(p, l.noStd) {
			return l.dir + " is pure: the same bytes in, the same state out"
		}
		return ""
	}
	if anyWithin(p, forTests) {
		if f.test || within(f.dir, "jepsen") {
			return ""
		}
		return "it is for tests"
	}
	if l.libs != nil && !anyWithin(p, l.libs) {
		return l.dir + " may import from elsewhere only " + strings.Join(append([]string{"std"}, l.libs...), ", ")
	}
	for lib, dirs := range exclusive {
		if within(p, lib) && !anyWithin(f.dir, dirs) {
			return "only " + strings.Join(dirs, ", ") + " may import " + lib
		}
	}
	return ""
}

func except(dirs []string) string {
	if len(dirs) == 0 {
		return ""
	}
	return " except " + strings.Join(dirs, ", ")
}

func TestImports(t *testing.T) { obey(t, importRules) }

func TestImportRulesCanFail(t *testing.T) {
	z := func(dir string) string { return module + "/" + dir }
	file := func(p string, imports ...string) map[string]string {
		text := "package p\n"
		for _, i := range imports {
			text += "import _ \"" + i + "\"\n"
		}
		return map[string]string{p: text}
	}
	canFail(t, importRules, []badCase{
		{name: "fsm as it is", files: file("fsm/a.go", memdb, "time", "errors", z("fsm/codec"))},
		{name: "fsm with os", files: file("fsm/a.go", "os"), want: "fsm/a.go:2: fsm imports os: fsm is pure"},
		{name: "fsm with net/http", files: file("fsm/a.go", "net/http"), want: "pure"},
		{name: "below fsm with random", files: file("fsm/codec/a.go", "math/rand/v2"), want: "pure"},
		{name: "fsm's test with os", files: file("fsm/a_test.go", "os", "math/rand")},
		{name: "fsm with a logger", files: file("fsm/a.go", hclog), want: "only std, " + memdb},
		{name: "fsm with transport", files: file("fsm/a.go", z("transport/api")), want: "may import of zero only fsm"},
		{name: "fsm's test with transport", files: file("fsm/a_test.go", z("transport/api")), want: "only fsm"},
		{name: "transport with fsm", files: file("transport/wire/a.go", z("fsm")), want: "only transport"},
		{name: "transport with cluster", files: file("transport/a.go", z("cluster")), want: "only transport"},
		{name: "wire with YAML", files: file("transport/wire/a.go", yaml), want: "only std, " + hclog},
		{name: "conf with YAML", files: file("transport/conf/a.go", yaml+"/ast", z("transport/api"))},
		{name: "agent with YAML", files: file("agent/a.go", yaml), want: "only transport/conf, cli"},
		{name: "cli with YAML and cobra", files: file("cli/a.go", yaml, "github.com/spf13/cobra")},
		{name: "api with a logger", files: file("transport/api/a.go", hclog), want: "only std"},
		{name: "api with wire", files: file("transport/api/a.go", z("transport/wire")), want: "only transport/api"},
		{name: "cluster as it is", files: file("cluster/a.go", z("fsm"), z("transport"), "github.com/hashicorp/raft", "go.etcd.io/bbolt")},
		{name: "cluster with keeper", files: file("cluster/a.go", z("cluster/keeper")), want: "except cluster/keeper"},
		{name: "below cluster with keeper", files: file("cluster/store/a.go", z("cluster/keeper/x")), want: "except cluster/keeper"},
		{name: "keeper as it is", files: file("cluster/keeper/a.go", z("fsm"), z("transport/wire"), z("cluster/keeper/x"))},
		{name: "keeper with cluster", files: file("cluster/keeper/a.go", z("cluster")), want: "cluster/keeper may import of zero only"},
		{name: "keeper's test with cluster", files: file("cluster/keeper/a_test.go", z("cluster"))},
		{name: "proxy with agent", files: file("proxy/a.go", z("agent/mysql")), want: "only proxy, transport"},
		{name: "proxy with cluster", files: file("proxy/mysql/a.go", z("cluster")), want: "only proxy, transport"},
		{name: "agent with proxy", files: file("agent/a_test.go", z("proxy")), want: "only agent, transport"},
		{name: "agent with fsm", files: file("agent/a.go", z("fsm")), want: "only agent, transport"},
		{name: "gRPC in its corner", files: file("agent/rpc/a.go", "google.golang.org/grpc/codes")},
		{name: "gRPC elsewhere", files: file("agent/a.go", "google.golang.org/grpc"), want: "only agent/rpc"},
		{name: "raft in cli", files: file("cli/a.go", "github.com/hashicorp/raft"), want: "only cluster"},
		{name: "raft-boltdb in proxy", files: file("proxy/a.go", "github.com/hashicorp/raft-boltdb/v2"), want: "only cluster"},
		{name: "cobra in agent", files: file("agent/a.go", "github.com/spf13/cobra"), want: "only cli"},
		{name: "cli with jepsen", files: file("cli/a.go", z("jepsen/fleet")), want: "cli may import of zero only"},
		{name: "a test with jepsen", files: file("proxy/a_test.go", z("jepsen/fleet")), want: "only proxy, transport"},
		{name: "goleak in a test", files: file("fsm/a_test.go", "go.uber.org/goleak")},
		{name: "goleak in a program", files: file("cli/a.go", "go.uber.org/goleak"), want: "for tests"},
		{name: "porcupine in jepsen", files: file("jepsen/model/a.go", "github.com/anishathalye/porcupine", z("fsm"))},
		{name: "an unknown folder", files: file("util/a.go"), want: "in no layer"},
		{name: "another build", files: map[string]string{"fsm/a.go": "//go:build nohold\n\npackage p\nimport _ \"os\"\n"}, want: "pure"},
		{name: "names alike", files: file("proxy/a.go", z("proxylink")), want: "only proxy, transport"},
	})
}

// TestLayersAreUsed keeps the table from rotting: a row for a folder that is gone would be dead.
func TestLayersAreUsed(t *testing.T) {
	tree := house(t)
	for _, l := range layers {
		if !slices.ContainsFunc(tree.source, func(f sourceFile) bool { return within(f.dir, l.dir) }) {
			t.Errorf("the table of allowed imports has a row for %s, which has no Go files", l.dir)
		}
	}
}
