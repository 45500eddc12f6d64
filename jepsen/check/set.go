package check

// Set checks I2 on a workload that adds unique elements. acked and unknown are what clients were told; finalPerNode is what
// each node returned after the run, following a barrier. Every acknowledged element is on every node, once; nothing is there
// that was neither acknowledged nor unknown. An unknown element may be there; one that is both counts as acknowledged.
// Compare the nodes' whole states with [SameState].
func Set(acked []string, unknown []string, finalPerNode map[string][]string) Verdict {
	f := newFinding()
	must := setOf(acked)
	may := setOf(unknown)
	recovered := make(map[string]bool)
	for _, node := range sorted(finalPerNode) {
		have := make(map[string]int)
		for _, e := range finalPerNode[node] {
			have[e]++
		}
		var lost, alien, doubled []string
		for _, e := range sorted(must) {
			if have[e] == 0 {
				lost = append(lost, e)
			}
		}
		for _, e := range sorted(have) {
			if !must[e] && !may[e] {
				alien = append(alien, e)
			} else if !must[e] {
				recovered[e] = true
			}
			if have[e] > 1 {
				doubled = append(doubled, e)
			}
		}
		report := func(what string, elements []string) {
			if len(elements) > 0 {
				f.problem("%s: %d %s: %s", node, len(elements), what, few(elements))
			}
		}
		report("acknowledged elements are lost", lost)
		report("elements that nobody wrote", alien)
		report("elements are there more than once", doubled)
	}
	f.stat("acked", len(must))
	f.stat("unknown", len(may))
	f.stat("recovered", len(recovered))
	f.stat("nodes", len(finalPerNode))
	switch {
	case len(finalPerNode) == 0:
		f.undecided("no node was read")
	case len(must) == 0:
		f.undecided("no element was acknowledged")
	}
	return f.verdict()
}

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, e := range list {
		set[e] = true
	}
	return set
}
