package keeper

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// constants are the constants of a Go file with their literals, one map for
// each block.
func constants(t *testing.T, path string) []map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []map[string]string
	for _, decl := range file.Decls {
		block, ok := decl.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		values := map[string]string{}
		for _, spec := range block.Specs {
			spec := spec.(*ast.ValueSpec)
			for i, name := range spec.Names {
				literal, ok := spec.Values[i].(*ast.BasicLit)
				if !ok {
					continue
				}
				values[name.Name] = literal.Value
				if text, err := strconv.Unquote(literal.Value); err == nil {
					values[name.Name] = text
				}
			}
		}
		blocks = append(blocks, values)
	}
	return blocks
}

// TestCodesOfTheStateMachine: its numbers are the wire's.
func TestCodesOfTheStateMachine(t *testing.T) {
	wire := map[string]string{}
	for _, block := range constants(t, "../../transport/api/code.go") {
		for name, value := range block {
			wire[name] = value
		}
	}
	seen := 0
	for _, block := range constants(t, "../../fsm/command.go") {
		for name, value := range block {
			meaning, ok := strings.CutPrefix(name, "Code")
			if !ok {
				continue
			}
			if seen++; wire[meaning] != value {
				t.Errorf("fsm.%s is %s, api.%s is %q", name, value, meaning, wire[meaning])
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d codes were found", seen)
	}
}

// TestWordsOfTheStateMachine: statuses and steps are the wire's, too.
func TestWordsOfTheStateMachine(t *testing.T) {
	for _, pair := range [][2]any{
		{fsm.StatusReady, api.StatusReady}, {fsm.StatusUp, api.StatusUp}, {fsm.StatusLost, api.StatusLost}, {fsm.StatusUnreg, api.StatusUnreg},
		{fsm.StepRequested, api.StepRequested}, {fsm.StepStopping, api.StepStopping}, {fsm.StepFencing, api.StepFencing}, {fsm.StepCatchingUp, api.StepCatchingUp},
		{fsm.StepPromoting, api.StepPromoting}, {fsm.StepRollingBack, api.StepRollingBack}, {fsm.StepIdle, api.StepIdle},
	} {
		if pair[0] != pair[1] {
			t.Errorf("fsm says %v, api says %v", pair[0], pair[1])
		}
	}
}

// TestEveryRequestHasAHandler: what the wire's tables name for keepers is
// answered, and nothing else is.
func TestEveryRequestHasAHandler(t *testing.T) {
	named := map[string]bool{}
	add := func(block map[string]string) {
		for _, name := range block {
			named[name] = true
		}
	}
	for _, block := range constants(t, "../../transport/api/arrows.go") {
		if _, ok := block["ConfigFetch"]; ok {
			add(block) // arrows 1 and 4
		}
	}
	for _, block := range constants(t, "../../transport/api/operator.go") {
		add(block)
	}
	if len(named) < 30 {
		t.Fatalf("only %d requests were found", len(named))
	}
	handlers := (&Keeper{}).handlerTable()
	for name := range named {
		if handlers[name] == nil {
			t.Errorf("nobody answers %s", name)
		}
		if _, ok := doors[name]; !ok && name != api.SectionForward {
			t.Errorf("%s is not in the table of the tests", name)
		}
	}
	for name := range handlers {
		if !named[name] {
			t.Errorf("%s is answered, and no table of the wire has it for keepers", name)
		}
	}
}

// TestEveryStateHasAStep: a switch never waits in a state for nobody.
func TestEveryStateHasAStep(t *testing.T) {
	states := 0
	for _, block := range constants(t, "../../fsm/records.go") {
		for name, state := range block {
			if !strings.HasPrefix(name, "State") {
				continue
			}
			states++
			s := fsm.Switch{State: state}
			if _, ok := steps[state]; ok != s.IsOpen() {
				t.Errorf("%s: has a step: %v, is open: %v", state, ok, s.IsOpen())
			}
		}
	}
	if states != len(steps)+3 {
		t.Errorf("%d states, %d steps", states, len(steps))
	}
}
