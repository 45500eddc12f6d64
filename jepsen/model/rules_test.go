package model

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	rules := Rules()
	if len(rules) != 26 {
		t.Fatalf("%d rules, want 26", len(rules))
	}
	for i, r := range rules {
		if want := fmt.Sprintf("R%d", i+1); r.ID != want {
			t.Errorf("rule %d is %s, want %s", i, r.ID, want)
		}
		if !strings.HasSuffix(r.Text, ".") || strings.Count(r.Text, ". ") > 0 {
			t.Errorf("%s: want one sentence, have %q", r.ID, r.Text)
		}
		if r.Modelled != (len(r.Mutants) > 0) {
			t.Errorf("%s: modelled %v, mutants %v: a modelled rule has a mutant, another has none", r.ID, r.Modelled, r.Mutants)
		}
	}
}

func TestMutantsBelongToRules(t *testing.T) {
	rules := map[string]bool{}
	for _, r := range Rules() {
		rules[r.ID] = true
		for _, c := range r.Clauses {
			rules[r.ID+string(c)] = true
		}
	}
	var removed []Guard
	names := map[string]bool{}
	for _, m := range Mutants() {
		if names[m.Name] {
			t.Errorf("two mutants are called %s", m.Name)
		}
		names[m.Name] = true
		if len(m.Off) == 0 || len(m.Rules) == 0 || m.Steps == 0 || m.Cost == 0 {
			t.Errorf("%s: guards %v, rules %v, steps %d, cost %d: none may be empty", m.Name, m.Off, m.Rules, m.Steps, m.Cost)
		}
		for _, r := range m.Rules {
			if !rules[r] {
				t.Errorf("%s removes %s, which is no rule or clause", m.Name, r)
			}
		}
		if _, ok := ScopeNamed(m.Scope); !ok {
			t.Errorf("%s: no scope %q", m.Name, m.Scope)
		}
		removed = append(removed, m.Off...)
	}
	for g := range numGuards {
		if !slices.Contains(removed, g) {
			t.Errorf("no mutant removes %v", g)
		}
	}
}

func TestGuards(t *testing.T) {
	seen := map[string]bool{}
	for g := range numGuards {
		if name := g.String(); name == "" || seen[name] {
			t.Errorf("guard %d is called %q, as none or another is", g, name)
		}
		seen[g.String()] = true
		without := AllGuards.Without(g)
		if !AllGuards.Has(g) || without.Has(g) || without.Without(g) != without {
			t.Errorf("%v: cannot be taken out", g)
		}
	}
	if got := AllGuards.Without(Durable, LockKept); got.Has(Durable) || got.Has(LockKept) || !got.Has(PromiseKept) {
		t.Errorf("without two guards: %b", got)
	}
	if got := numGuards.String(); got != fmt.Sprintf("Guard(%d)", numGuards) {
		t.Errorf("a guard that does not exist is called %q", got)
	}
}
