package jepsen

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The places where points are set: one for all states of a switch, one for all
// orders of an agent, one for those of a proxy.
const (
	fileStates      = "fsm/switch.go"
	fileDriver      = "cluster/keeper/drive.go"
	fileAgent       = "agent/handlers.go"
	filePeers       = "agent/peers.go"
	fileAgentMemory = "agent/agent.go"
	fileProxy       = "proxy/handlers.go"
)

// pointRules: every state of a switch and every order has its fault points. The
// states and orders are read from the tables, the points from the one place that
// all of them pass.
func pointRules(t *tree) []string {
	files := map[string]*ast.File{}
	for _, f := range t.source {
		files[f.path] = f.ast
	}
	var bad []string
	for _, p := range []string{fileStates, fileDriver, fileAgent, filePeers, fileAgentMemory, fileProxy} {
		if files[p] == nil {
			bad = append(bad, p+" is gone: the points of what it held are set nowhere")
		}
	}
	if len(bad) > 0 {
		return bad
	}
	return slices.Concat(statePoints(files), orderPoints(t, files))
}

// statePoints: what may follow a state has a step, and all steps are taken in
// drive between two points; the other states end in over, which has two as well.
func statePoints(files map[string]*ast.File) []string {
	var bad []string
	steps := keysOf(files[fileDriver], "steps")
	states := keysOf(files[fileStates], "transitions")
	for _, list := range valuesOf(files[fileStates], "transitions") {
		states = append(states, list...)
	}
	slices.Sort(states)
	states = slices.Compact(states)
	if len(states) < 2 {
		bad = append(bad, fileStates+": no states were found in the table transitions")
	}
	around := reaches(files[fileDriver], "drive", "run")
	atEnd := reaches(files[fileDriver], "over", "")
	for _, state := range states {
		where, name := around, "drive"
		if !slices.Contains(steps, state) { // the switch is over
			where, name = atEnd, "over"
			if callsOf(files[fileDriver], "drive", "over") == 0 {
				bad = append(bad, fmt.Sprintf("%s: drive does not call over, where the points of %s are", fileDriver, state))
			}
		}
		for _, when := range []string{"before", "after"} {
			if !slices.Contains(where, when) {
				bad = append(bad, fmt.Sprintf("%s: %s has no point %q, which %s needs", fileDriver, name, when, state))
			}
		}
	}
	return bad
}

// orderPoints: every request that transport/api names and keepers do not answer is
// in the table of an agent's or a proxy's handlers, made by handle, which has the
// points; and what an agent remembers for an order has the point in between.
func orderPoints(t *tree, files map[string]*ast.File) []string {
	var bad []string
	var requests, keepers []string
	for _, f := range t.source {
		switch {
		case f.test:
		case f.dir == "transport/api":
			requests = append(requests, ownNames(f.ast)...)
		case f.dir == "cluster/keeper":
			keepers = append(keepers, handledBy(f.ast, "")...)
		}
	}
	handled := map[string]bool{}
	for _, name := range keepers {
		handled[name] = true
	}
	for _, at := range []struct{ table, by, file, points string }{
		{fileAgent, "handle", fileAgent, "handleFrom"}, {filePeers, "peerHandle", fileAgent, "handleFrom"}, {fileProxy, "handle", fileProxy, "handle"},
	} {
		if at.by != at.points && callsOf(files[at.table], at.by, at.points) == 0 {
			bad = append(bad, fmt.Sprintf("%s: %s does not go through %s, which has the points", at.table, at.by, at.points))
		}
		points := reaches(files[at.file], at.points, "f")
		for _, order := range handledBy(files[at.table], at.by) {
			handled[order] = true
			for _, when := range []string{"before", "after"} {
				if !slices.Contains(points, when) {
					bad = append(bad, fmt.Sprintf("%s: %s has no point %q, which %s needs", at.file, at.points, when, order))
				}
			}
		}
	}
	if len(requests) == 0 {
		bad = append(bad, "transport/api names no requests")
	}
	for _, name := range requests {
		if !handled[name] && name != "Hello" { // the connection's own
			bad = append(bad, fmt.Sprintf("%s is handled by no handle, which has the points, of agents, proxies or keepers", name))
		}
	}
	if !slices.Contains(reaches(files[fileAgentMemory], "remember", ""), "durable") {
		bad = append(bad, fileAgentMemory+": remember has no point \"durable\"")
	}
	return append(bad, remembering(t)...)
}

// ownNames are the constants whose value is their name, as those of requests are.
func ownNames(f *ast.File) (names []string) {
	for _, decl := range f.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for _, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			for i, id := range v.Names {
				if i >= len(v.Values) {
					continue
				}
				if text, ok := v.Values[i].(*ast.BasicLit); ok && text.Value == strconv.Quote(id.Name) {
					names = append(names, id.Name)
				}
			}
		}
	}
	return names
}

// remembering: an agent's handler that takes the turn for an order (begin)
// remembers what the order changed, and passes the point "durable" with that.
func remembering(t *tree) []string {
	var bad []string
	for _, f := range t.source {
		if f.dir != "agent" || f.test {
			continue
		}
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if ok && strings.HasSuffix(fn.Name.Name, "Processor") && callsOf(f.ast, fn.Name.Name, "begin") > 0 && callsOf(f.ast, fn.Name.Name, "remember")+callsOf(f.ast, fn.Name.Name, "rememberMeanwhile") == 0 {
				bad = append(bad, t.at(fn.Pos(), "%s remembers nothing of its order: it has no point \"durable\"", fn.Name.Name))
			}
		}
	}
	return bad
}

func funcNamed(f *ast.File, name string) *ast.FuncDecl {
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Name.Name == name {
			return fn
		}
	}
	return nil
}

// callsOf counts the calls of something with that name in a function.
func callsOf(f *ast.File, in, name string) (n int) {
	fn := funcNamed(f, in)
	if fn == nil {
		return 0
	}
	ast.Inspect(fn, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok && calledName(call) == name {
			n++
		}
		return true
	})
	return n
}

func calledName(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// reaches are the moments ("before", …) for which a function calls
// faultpoint.Reach(point(…, moment)). With around, "before" counts only ahead of
// the call of that name, and "after" only behind it.
func reaches(f *ast.File, in, around string) []string {
	fn := funcNamed(f, in)
	if fn == nil {
		return nil
	}
	var middle token.Pos
	found := map[string]token.Pos{}
	ast.Inspect(fn, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		if name := calledName(call); name == around && around != "" {
			middle = call.Pos()
		} else if name == "Reach" && len(call.Args) == 1 {
			if of, ok := call.Args[0].(*ast.CallExpr); ok && calledName(of) == "point" && len(of.Args) == 2 {
				if text, ok := of.Args[1].(*ast.BasicLit); ok {
					if when, err := strconv.Unquote(text.Value); err == nil {
						found[when] = call.Pos()
					}
				}
			}
		}
		return true
	})
	var list []string
	for when, at := range found {
		if around != "" && (middle == token.NoPos || when == "before" && at > middle || when == "after" && at < middle) {
			continue
		}
		list = append(list, when)
	}
	return list
}

// composite is the composite literal of a package's variable.
func composite(f *ast.File, variable string) *ast.CompositeLit {
	for _, decl := range f.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range gen.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok && len(v.Names) == 1 && v.Names[0].Name == variable && len(v.Values) == 1 {
				if lit, ok := v.Values[0].(*ast.CompositeLit); ok {
					return lit
				}
			}
		}
	}
	return nil
}

// nameOf is the last part of a name: StateDone of fsm.StateDone.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func keysOf(f *ast.File, variable string) (keys []string) {
	lit := composite(f, variable)
	if lit == nil {
		return nil
	}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			keys = append(keys, nameOf(kv.Key))
		}
	}
	return keys
}

func valuesOf(f *ast.File, variable string) (values [][]string) {
	lit := composite(f, variable)
	if lit == nil {
		return nil
	}
	for _, e := range lit.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		list, ok := kv.Value.(*ast.CompositeLit)
		if !ok {
			continue
		}
		var names []string
		for _, v := range list.Elts {
			names = append(names, nameOf(v))
		}
		values = append(values, names)
	}
	return values
}

// handledBy are the keys of tables whose values are calls of that function; "" is
// every table.
func handledBy(f *ast.File, function string) (keys []string) {
	ast.Inspect(f, func(node ast.Node) bool {
		if kv, ok := node.(*ast.KeyValueExpr); ok {
			if call, ok := kv.Value.(*ast.CallExpr); function == "" || ok && calledName(call) == function {
				keys = append(keys, nameOf(kv.Key))
			}
		}
		return true
	})
	return keys
}

func TestEveryStateAndOrderHasPoints(t *testing.T) { obey(t, pointRules) }

func TestPointsCanFail(t *testing.T) {
	good := map[string]string{
		fileStates:                   "package fsm\nvar transitions = map[string][]string{StateA: {StateB}}\n",
		"transport/api/agent.go":     "package api\nconst (\n\tStateFetch = \"StateFetch\"\n\tFence = \"Fence\"\n)\n",
		"transport/api/arrows.go":    "package api\nconst PushConfig = \"PushConfig\"\nconst Beat = \"Beat\"\n",
		"cluster/keeper/handlers.go": "package keeper\nvar t = wire.Handlers{api.Beat: handle(x)}\n",
		fileDriver: "package keeper\nvar steps = map[string]int{fsm.StateA: 1}\n" +
			"func drive() { d.over(); faultpoint.Reach(point(s, \"before\")); d.run(); faultpoint.Reach(point(s, \"after\")) }\n" +
			"func over() { faultpoint.Reach(point(s, \"before\")); defer faultpoint.Reach(point(s, \"after\")) }\n",
		fileAgent: "package agent\nvar t = wire.Handlers{api.StateFetch: handle(x), api.Fence: handle(y)}\n" +
			"func handle() { handleFrom() }\n" +
			"func handleFrom() { faultpoint.Reach(point(n, \"before\")); f(); faultpoint.Reach(point(n, \"after\")) }\n",
		filePeers:         "package agent\nfunc peerHandle() { handleFrom() }\n",
		fileAgentMemory:   "package agent\nfunc remember() { faultpoint.Reach(point(n, \"durable\")) }\n",
		"agent/orders.go": "package agent\nfunc FenceProcessor() { begin(); remember() }\n",
		fileProxy: "package proxy\nvar t = wire.Handlers{api.PushConfig: handle(x)}\n" +
			"func handle() { faultpoint.Reach(point(n, \"before\")); f(); faultpoint.Reach(point(n, \"after\")) }\n",
	}
	change := func(file, from, to string) map[string]string {
		files := map[string]string{}
		for name, text := range good {
			files[name] = text
		}
		if !strings.Contains(files[file], from) {
			t.Fatalf("%s has no %q", file, from)
		}
		files[file] = strings.Replace(files[file], from, to, 1)
		return files
	}
	canFail(t, pointRules, []badCase{
		{name: "good", files: good},
		{name: "an order of an agent is handled past the points", files: change(fileAgent, "api.Fence: handle(y)", "api.Fence: other(y)"), want: "Fence is handled by no handle"},
		{name: "requests of agents past the points", files: change(filePeers, "handleFrom()", "other()"), want: "peerHandle does not go through"},
		{name: "an order without memory", files: change("agent/orders.go", "remember()", ""), want: "FenceProcessor remembers nothing"},
		{name: "no point after the disk", files: change(fileAgentMemory, "durable", "x"), want: "remember has no point"},
		{name: "no point before an end", files: change(fileDriver, "{ faultpoint.Reach(point(s, \"before\")); defer", "{ defer"), want: "over has no point \"before\", which StateB"},
		{name: "no point after a step", files: change(fileDriver, "d.run(); faultpoint.Reach(point(s, \"after\"))", "d.run()"), want: "drive has no point \"after\", which StateA"},
		{name: "the point comes too late", files: change(fileProxy, "faultpoint.Reach(point(n, \"before\")); f()", "f(); faultpoint.Reach(point(n, \"before\"))"), want: "handle has no point \"before\", which PushConfig"},
		{name: "a state that is driven elsewhere", files: change(fileDriver, "d.over(); ", ""), want: "drive does not call over"},
		{name: "a table is gone", files: change(fileStates, "transitions", "ways"), want: "no states"},
	})
}
