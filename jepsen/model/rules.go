package model

import "strings"

// Rule is one of the safety rules of the switch, as the code names it in comments like "// R12c: …".
type Rule struct {
	ID       string   // R1 to R26
	Clauses  string   // the letters of its clauses, as "abcd"; empty if it has none
	Text     string   // one sentence
	Modelled bool     // [M]: in this package, where each mutant is caught; else [P]: tests of its own must show it
	Mutants  []string // names of the mutants that remove it or a part of it
}

// Rules are R1 to R26, in their order. The slices are the caller's.
func Rules() []Rule {
	rules := []Rule{
		{ID: "R1", Modelled: true, Text: "A heartbeat is answered with a lease only by a leader that proved, after the heartbeat came in, that it still leads."},
		{ID: "R2", Modelled: true, Text: "A holder counts as out only when the wait has passed since this leader's last grant to it and since its election."},
		{ID: "R3", Modelled: true, Text: "A wait is longer than the lease that it is for, by the errors of both clocks."},
		{ID: "R4", Modelled: true, Text: "A grant says of each group the stamp, the primary's index and identity, and open or held; nothing is renewed for a held group."},
		{ID: "R5", Modelled: true, Text: "A proxy leaves the list only when it gave up its lease, or when the wait has passed since the last grant to it."},
		{ID: "R6", Modelled: true, Text: "No message of a step is sent before the entry of that step is applied."},
		{ID: "R7", Modelled: true, Text: "A transition names switch, generation, step and the term of the leader that decided it, and is refused if any differs."},
		{ID: "R8", Modelled: true, Text: "A generation is allocated at the request and never used again; every receiver refuses a stamp below the highest it has seen."},
		{ID: "R9", Modelled: true, Text: "An unknown outcome is not a failure: nothing is undone until the state machine says rolling-back."},
		{ID: "R10", Modelled: true, Text: "A lease runs from the sending of the heartbeat that it answers."},
		{ID: "R11", Modelled: true, Text: "A proxy that starts holds writes until it is granted a lease."},
		{ID: "R12", Modelled: true, Clauses: "abcd", Text: "A write is in flight from its lease check until its result is relayed or given up, and its OK is relayed only under a living lease and the same primary generation."},
		{ID: "R13", Modelled: true, Text: "The candidate is prepared before the fence, answers only when no promise of its own is alive, and promises nothing from then on."},
		{ID: "R14", Modelled: true, Text: "A server is writable only while its agent has a lease that names it as primary; an agent that starts has none."},
		{ID: "R15", Modelled: true, Text: "The server is read-only, or killed, before its agent's lease ends."},
		{ID: "R16", Modelled: true, Text: "What an answer claims is on disk before the answer is given."},
		{ID: "R17", Modelled: true, Text: "A replica may be promoted only after the primary's agent has stored the replica set with it, while nothing of failsafe under the old set is alive."},
		{ID: "R18", Modelled: true, Clauses: "abcdef", Text: "A failsafe lease needs the promise of every other member of the stored set, ends before those promises, and covers what is lent from it."},
		{ID: "R19", Modelled: true, Text: "Lossless: without a confirmed fence every recorded semi-sync replica stops receiving before positions are compared, and the candidate has what any of them has."},
		{ID: "R20", Modelled: true, Text: "Only recorded replicas acknowledge."},
		{ID: "R21", Modelled: true, Text: "A server starts read-only."},
		{ID: "R22", Modelled: true, Text: "Demotion never releases a session that waits for a semi-sync acknowledgement."},
		{ID: "R23", Modelled: true, Text: "After the commit point a stuck switch is superseded by a new generation whose from is the committed primary, never turned back."},
		{ID: "R24", Text: "Grants and orders carry the datasource's identity beside its index, and a receiver refuses a mismatch."},
		{ID: "R25", Text: "A restored keeper raises the cluster epoch and freezes its groups until it knows what their agents have seen."},
		{ID: "R26", Text: "The server is asked for what bypasses read_only before positions count."},
	}
	for i := range rules {
		for _, m := range Mutants() {
			if m.Removes(rules[i].ID) {
				rules[i].Mutants = append(rules[i].Mutants, m.Name)
			}
		}
	}
	return rules
}

// Removes says whether the mutant removes the rule with that ID, or a clause of it.
func (m Mutant) Removes(id string) bool {
	for _, r := range m.Rules {
		if strings.TrimRight(r, "abcdef") == id {
			return true
		}
	}
	return false
}
