package jepsen

import (
	"go/ast"
	"path"
	"slices"
	"testing"
)

// clocks are the names of package time that read a clock, wait for one, or depend on the machine's time zone.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Sleep", "Local",
	"LoadLocation"}

// fsmReadsNoClock: the time comes in the command, stamped by the leader. A node that asks its own clock differs from its
// peers for ever. Any mention counts, not only calls: a clock passed as a value is still a clock.
func fsmReadsNoClock(t *tree) []string {
	var bad []string
	for _, f := range t.source {
		if f.test || !within(f.dir, "fsm") {
			continue
		}
		name := "" // under which the file knows package time
		f.imports(func(spec *ast.ImportSpec, p string) {
			switch {
			case p != "time":
			case spec.Name == nil:
				name = path.Base(p)
			case spec.Name.Name == ".":
				bad = append(bad, t.at(spec.Pos(), "package time imported with a dot hides its clock"))
			default:
				name = spec.Name.Name
			}
		})
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == name && slices.Contains(clocks, sel.Sel.Name) {
					bad = append(bad, t.at(sel.Pos(), "the state machine uses time.%s: the time comes in the command", sel.Sel.Name))
				}
			}
			return true
		})
	}
	return bad
}

func TestFSMReadsNoClock(t *testing.T) { obey(t, fsmReadsNoClock) }

func TestFSMReadsNoClockCanFail(t *testing.T) {
	canFail(t, fsmReadsNoClock, []badCase{
		{name: "durations and times", files: map[string]string{
			"fsm/a.go": "package fsm\nimport \"time\"\nvar d = 3 * time.Second\nfunc f(t time.Time) bool { return t.After(time.Unix(0, 0)) }\n"}},
		{name: "a call", files: map[string]string{
			"fsm/a.go": "package fsm\nimport \"time\"\nfunc f() int64 { return time.Now().Unix() }\n"}, want: "fsm/a.go:3: the state machine uses time.Now"},
		{name: "a value", files: map[string]string{
			"fsm/x/a.go": "package x\nimport \"time\"\nvar clock = time.Now\n"}, want: "time.Now"},
		{name: "under another name", files: map[string]string{
			"fsm/a.go": "package fsm\nimport clock \"time\"\nfunc f(t clock.Time) clock.Duration { return clock.Since(t) }\n"}, want: "time.Since"},
		{name: "with a dot", files: map[string]string{
			"fsm/a.go": "package fsm\nimport . \"time\"\nvar t = Now()\n"}, want: "with a dot"},
		{name: "a test", files: map[string]string{
			"fsm/a_test.go": "package fsm\nimport \"time\"\nvar t = time.Now()\n"}},
		{name: "another package", files: map[string]string{
			"cluster/a.go": "package cluster\nimport \"time\"\nvar t = time.Now()\n"}},
		{name: "a field of that name", files: map[string]string{
			"fsm/a.go": "package fsm\ntype time struct{ Now int64 }\nfunc f(command time) int64 { return command.Now }\n"}},
	})
}
