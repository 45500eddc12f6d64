package jepsen

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/jepsen/model"
)

// shown says which tests and scenarios show that a rule of the switch holds: that
// something is refused, lost or found when it does not. A test is named by its
// package and its name, a scenario of zerojepsen by its own.
var shown = map[string][]string{
	"R1":  {"cluster/keeper.TestCommitBringsTheLease", "cluster/keeper.TestFailedEntryProvesNothing", "cluster/keeper.TestLeaseOnlyOnProof", "cluster/keeper.TestDeposedLeaderGrantsNothing", "cluster.TestVerifyLeaderCountsOldAnswersInRaft173", "G18-noproof"},
	"R2":  {"cluster/keeper.TestOut", "cluster/keeper.TestUnreachableProxyIsWaitedFor", "cluster/keeper.TestFailoverOfSilentHost", "G18-nowait"},
	"R3":  {"transport/lease.TestTimes"},
	"R4":  {"cluster/keeper.TestGrantsDuringSwitch", "cluster/keeper.TestProxyAwaitsWritable", "proxy.TestGrants"},
	"R5":  {"cluster/keeper.TestLeavingTakesALease", "cluster/keeper.TestAnotherProcessWaits", "proxy.TestLeave"},
	"R6":  {"cluster/keeper.TestResume", "cluster/keeper.TestLeaderMovesDuringSwitch", "G8"},
	"R7":  {"fsm.TestTermOfTheDecidingLeader", "fsm.TestSwitchRollsBackOnlyBeforeTheCommit"},
	"R8":  {"fsm.TestGenerationsAreSpent", "proxy.TestOrdersAreRefused", "agent.TestOrdersAreRefused", "agent.TestLateGrants", "G18-nostamp"},
	"R9":  {"cluster/keeper.TestLostAnswers", "cluster/keeper.TestLostRestore", "G8"},
	"R10": {"proxy.TestLeaseRunsFromTheSending"},
	"R11": {"proxy.TestStartIsHeld", "proxy/gate.TestStartsHeldWithoutPrimary"},
	"R12": {"proxy/mysql.TestOKIsKept", "proxy/mysql.TestLeaseEndsBeforeTheSending", "proxy/mysql.TestTransactionEndsWithTheLease", "proxy/mysql.TestNothingIsKept", "G18-nolease"},
	"R13": {"cluster/keeper.TestFailoverNeedsThePreparedProcess", "agent.TestRestartedCandidate", "G8"},
	"R14": {"agent.TestWritableByALeaseOnly", "agent.TestRealLease", "G8"},
	"R15": {"agent.TestLeaseEnds", "agent.TestHangsAtTheEnd", "agent.TestRealLease"},
	"R16": {"agent/mysql.TestFollowWaitsUntilReady", "agent.TestDiskBeforeTheServer", "agent.TestPromiseIsKept", "agent.TestPromiseOfAnotherBoot", "agent.TestWiped", "proxy.TestDiskBeforeTheAnswer", "G18-nomemory"},
	"R17": {"fsm.TestOnlyMembersArePromoted", "fsm.TestReplicaRefusals", "cluster/keeper.TestReplicaJoins", "cluster/keeper.TestReplicaLeaves", "agent.TestPrimarySetIsDurable", "agent.TestSetIsAgreedWhenQuiet"},
	"R18": {"agent.TestWhoAsks", "agent.TestRound", "agent.TestRefusesToPromise", "agent.TestLends", "agent.TestTakenAwayInARound", "proxy.TestTakesALentLease", "jepsen/e2e.TestFailsafe"},
	"R19": {"cluster/keeper.TestLosslessNeedsEveryReplica", "agent/mysql.TestLosslessFailover", "agent/mysql.TestAcknowledgesOnlyInItsTurn"},
	"R20": {"fsm.TestReplicaTransitions", "fsm.TestDegraded", "cluster/keeper.TestDegrades", "agent.TestReplicaAcknowledgesAsRecorded", "agent/mysql.TestOnlyWhoIsToldAcknowledges", "agent.TestAcknowledgesAgain", "jepsen/e2e.TestSemiSync"},
	"R21": {"agent.TestStarts", "agent.TestDeath"},
	"R22": {"agent/mysql.TestFenceSparesWhoWaitsForAck", "agent/mysql.TestReplicaOperationsReleaseNobody"},
	"R23": {"fsm.TestSupersede", "cluster/keeper.TestStuckFailoverIsSuperseded"},
	"R24": {"proxy.TestOrdersAreRefused", "agent.TestOrdersAreRefused", "fsm.TestConfigRemapsTheWritableByAddress"},
	"R25": {"fsm.TestRecoveryFreezes", "fsm.TestHeardStamps", "cluster/keeper.TestRestoredKeeperAsks", "cluster/keeper.TestHigherStampFreezes", "jepsen/e2e.TestRestore"},
	"R26": {"agent/mysql.TestPositionIsReadTwice", "agent/mysql.TestPreflight", "agent/mysql.TestBypass", "agent.TestBypassIsReported"},
}

// pending are the rules that nothing enforces yet, and why. One that has a place
// in the code must leave this table, and have a row in shown.
var pending = map[string]string{}

// enforced matches a comment that says that what it stands at enforces rules, as
// "// R12c: why" and "// R13, R16"; a rule in parentheses is only referred to.
var (
	enforced = regexp.MustCompile(`^//\s+(R\d+[a-z]?(?:, R\d+[a-z]?)*)(?::|$|\s*;)`)
	ruleName = regexp.MustCompile(`^(R\d+)([a-z]?)$`)
	// scenarioName matches what zerojepsen calls a scenario, wherever it is registered.
	scenarioName = regexp.MustCompile(`^G\d+(-\w+)*$`)
	named        = regexp.MustCompile(`\bR\d+[a-z]?\b`)
)

// placesOf are the places that enforce rules, by the rule with its clause's letter,
// and everything that a comment calls a rule.
func placesOf(t *tree) (places map[string][]string, mentions map[string]string) {
	places, mentions = map[string][]string{}, map[string]string{}
	for _, f := range t.source {
		if f.test || within(f.dir, "jepsen") {
			continue
		}
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				at := t.at(c.Pos(), "")
				for _, id := range named.FindAllString(c.Text, -1) {
					mentions[id] = at
				}
				if m := enforced.FindStringSubmatch(c.Text); m != nil {
					for id := range strings.SplitSeq(m[1], ", ") {
						places[id] = append(places[id], strings.TrimSuffix(at, ": "))
					}
				}
			}
		}
	}
	return places, mentions
}

// ruleGaps: every rule of the switch has a place in the code, a rule in the model
// and a test or a scenario that shows it, or it is pending; and nothing speaks of a
// rule, a test or a scenario that does not exist.
func ruleGaps(t *tree) []string { return gaps(t, model.Rules(), shown, pending) }

func gaps(t *tree, rules []model.Rule, shown map[string][]string, pending map[string]string) []string {
	var bad []string
	places, mentions := placesOf(t)
	known := map[string]model.Rule{}
	for _, r := range rules {
		known[r.ID] = r
	}
	for _, id := range slices.Sorted(maps.Keys(mentions)) {
		m := ruleName.FindStringSubmatch(id)
		if r, ok := known[m[1]]; !ok || m[2] != "" && !strings.Contains(r.Clauses, m[2]) {
			bad = append(bad, fmt.Sprintf("%s%s: there is no such rule", mentions[id], id))
		}
	}
	exists := provers(t)
	for _, r := range rules {
		at := slices.Clone(places[r.ID])
		for _, c := range r.Clauses {
			at = append(at, places[r.ID+string(c)]...)
		}
		why, waits := pending[r.ID]
		switch {
		case waits && len(at) > 0:
			bad = append(bad, fmt.Sprintf("%s is pending (%s), but %s enforces it: give it a row in shown", r.ID, why, at[0]))
		case waits && len(shown[r.ID]) > 0:
			bad = append(bad, fmt.Sprintf("%s is pending, and %s shows it", r.ID, shown[r.ID][0]))
		case waits:
			continue
		case len(at) == 0:
			bad = append(bad, fmt.Sprintf("%s has no place in the code: %s", r.ID, r.Text))
		}
		for _, c := range r.Clauses {
			if id := r.ID + string(c); len(places[id]) == 0 {
				bad = append(bad, fmt.Sprintf("%s has no place in the code", id))
			}
		}
		if r.Modelled && len(r.Mutants) == 0 {
			bad = append(bad, fmt.Sprintf("%s: no mutant of the model removes it", r.ID))
		}
		if len(shown[r.ID]) == 0 && !waits {
			bad = append(bad, fmt.Sprintf("%s: no test or scenario shows it", r.ID))
		}
		for _, name := range shown[r.ID] {
			if !exists[name] {
				bad = append(bad, fmt.Sprintf("%s is to be shown by %s, which does not exist", r.ID, name))
			}
		}
	}
	for _, table := range [][]string{slices.Sorted(maps.Keys(shown)), slices.Sorted(maps.Keys(pending))} {
		for _, id := range table {
			if _, ok := known[id]; !ok {
				bad = append(bad, fmt.Sprintf("%s is in the tables and no rule", id))
			}
		}
	}
	return bad
}

// provers are the names of all tests, with their packages, and of all scenarios of
// zerojepsen.
func provers(t *tree) map[string]bool {
	found := map[string]bool{}
	for _, f := range t.source {
		if f.test {
			for _, decl := range f.ast.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
					found[f.dir+"."+fn.Name.Name] = true
				}
			}
			continue
		}
		if f.dir != "jepsen/chaos" {
			continue
		}
		ast.Inspect(f.ast, func(node ast.Node) bool {
			if text, ok := node.(*ast.BasicLit); ok && text.Kind == token.STRING {
				if name, err := strconv.Unquote(text.Value); err == nil && scenarioName.MatchString(name) {
					found[name] = true
				}
			}
			return true
		})
	}
	return found
}

// TestRulesOfTheSwitch also prints the table: rule, places, mutants, what shows it.
func TestRulesOfTheSwitch(t *testing.T) {
	obey(t, ruleGaps)
	places, _ := placesOf(house(t))
	for _, r := range model.Rules() {
		at := slices.Clone(places[r.ID])
		for _, c := range r.Clauses {
			at = append(at, places[r.ID+string(c)]...)
		}
		t.Logf("%-4s %s\n\tplaces  %s\n\tmutants %s\n\tshown   %s %s", r.ID, r.Text, strings.Join(at, " "), strings.Join(r.Mutants, " "), strings.Join(shown[r.ID], " "), pending[r.ID])
	}
}

func TestRulesCanFail(t *testing.T) {
	rules := []model.Rule{
		{ID: "R1", Text: "One.", Modelled: true, Mutants: []string{"m"}},
		{ID: "R2", Text: "Two.", Clauses: "ab", Modelled: true, Mutants: []string{"m"}},
		{ID: "R3", Text: "Three."},
	}
	shown := map[string][]string{"R1": {"fsm.TestOne"}, "R2": {"G8"}}
	pending := map[string]string{"R3": "later"}
	with := func(extra string) map[string]string {
		return map[string]string{
			"fsm/a.go":          "package fsm\n\n// R1: one\nvar a int // R2a\n\nvar b int // R2b: two\n\n// c is of another rule (R3).\nvar c int\n" + extra,
			"fsm/a_test.go":     "package fsm\n\nfunc TestOne() {}\n",
			"jepsen/chaos/g.go": "package chaos\n\nvar s = &Scenario{Name: \"G8\"}\n",
		}
	}
	check := func(shown map[string][]string, pending map[string]string) check {
		return func(t *tree) []string { return gaps(t, rules, shown, pending) }
	}
	canFail(t, check(shown, pending), []badCase{
		{name: "good", files: with("")},
		{name: "no such rule", files: with("\nvar d int // see R4\n"), want: "R4: there is no such rule"},
		{name: "no such clause", files: with("\nvar d int // R2c\n"), want: "R2c: there is no such rule"},
		{name: "pending, and enforced", files: with("\nvar d int // R3\n"), want: "R3 is pending (later), but fsm/a.go:11"},
		{name: "an engine of that name", files: with("\nvar d int // SIGUSR1, USR2\n")},
	})
	canFail(t, check(shown, nil), []badCase{{name: "no place", files: with("\nvar d int // R3\n"), want: "R3: no test or scenario"}})
	canFail(t, check(map[string][]string{"R1": {"fsm.TestTwo"}, "R2": {"G8"}}, pending), []badCase{{name: "no such test", files: with(""), want: "fsm.TestTwo, which does not exist"}})
	canFail(t, check(map[string][]string{"R1": {"fsm.TestOne"}, "R2": {"G9"}}, pending), []badCase{{name: "no such scenario", files: with(""), want: "G9, which does not exist"}})
	canFail(t, check(shown, map[string]string{"R1": "later", "R3": "later"}), []badCase{{name: "pending, though", files: with(""), want: "R1 is pending"}})
	canFail(t, check(map[string][]string{"R1": {"fsm.TestOne"}, "R2": {"G8"}, "R9": {"G8"}}, pending), []badCase{{name: "a row too many", files: with(""), want: "R9 is in the tables"}})
}
