package check

// Monotonic checks each client's own view, also of reads that may be stale and of keys too long for [Linearizable]: what a client
// saw of a key, by reading or by writing it, is never older than what it saw before. Answers that do not tell a version
// are left out, and so are writes that a client gave up.
func Monotonic(ops []Op) Verdict {
	type view struct {
		client int
		key    string
	}
	f := newFinding()
	seen := make(map[view]Op)
	compared := 0
	for _, op := range Fold(ops) {
		if op.Outcome != OK || op.GotVersion == 0 && (op.Kind != Read || op.Found) {
			continue
		}
		v := view{op.Client, op.Key}
		before, ok := seen[v]
		switch {
		case !ok:
			seen[v] = op
			continue
		case op.Call < before.Return: // at the same time: either order is fine
			continue
		}
		compared++
		if op.GotVersion < before.GotVersion || op.Mutates() && op.GotVersion == before.GotVersion {
			f.problem("%v; and before: %v", op, before)
			continue
		}
		seen[v] = op
	}
	f.stat("compared", compared)
	if compared == 0 {
		f.undecided("no client saw a key twice")
	}
	return f.verdict()
}
