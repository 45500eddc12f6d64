// Command zeromodel checks the protocol of the datasource switch, as package
// jepsen/model has it: every state within small bounds, and that nothing in the
// protocol can be left out.
//
//	zeromodel [-scope NAME,…] [-mutant NAME,…] [-all] [-budget D] [-settle N]
//	          [-states N] [-trace=false]
//
// Without -scope and -mutant it searches every scope, and then every mutant in
// the scope that catches it. -scope picks scopes, -mutant picks mutants, both
// together run those mutants in those scopes. A search that does not end within
// the budget is open; open scopes fail the run only with -all.
//
// It exits 0 only if every scope holds and every mutant is caught, 1 if not, 64
// after a mistake in the flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/zerokeeper/zero/jepsen/model"
)

const exitUsage = 64

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// plan is what a run is asked to do.
type plan struct {
	scopes  []model.Scope
	mutants []job
	limits  model.Limits
	all     bool // every scope must end
	trace   bool
}

// job is a mutant in a scope.
type job struct {
	mutant model.Mutant
	scope  model.Scope
}

// run is the exit code.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	p, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(errs, "zeromodel:", err)
		return exitUsage
	}
	if !p.execute(ctx, out) {
		return 1
	}
	return 0
}

func parse(args []string, errs io.Writer) (*plan, error) {
	p := &plan{limits: model.DefaultLimits()}
	f := flag.NewFlagSet("zeromodel", flag.ContinueOnError)
	f.SetOutput(errs)
	scopes := f.String("scope", "", "names of scopes, with commas between")
	mutants := f.String("mutant", "", "names of mutants, with commas between")
	f.BoolVar(&p.all, "all", false, "a scope that does not end within the budget is a failure")
	f.BoolVar(&p.trace, "trace", true, "print counterexamples")
	f.DurationVar(&p.limits.Budget, "budget", p.limits.Budget, "most time per search")
	f.IntVar(&p.limits.MaxStates, "states", p.limits.MaxStates, "most states per search")
	f.IntVar(&p.limits.Settle, "settle", 4, "check from about one in so many states of a scope that the switch ends (S4); 0: from none")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if err := p.limits.Validate(); err != nil {
		return nil, err
	}
	pickedScopes, err := pick("scope", *scopes, model.Scopes(), func(s model.Scope) string { return s.Name })
	if err != nil {
		return nil, err
	}
	pickedMutants, err := pick("mutant", *mutants, model.Mutants(), func(m model.Mutant) string { return m.Name })
	if err != nil {
		return nil, err
	}
	if *mutants == "" {
		p.scopes = pickedScopes
	}
	if *mutants == "" && *scopes != "" {
		return p, nil
	}
	for _, m := range pickedMutants {
		for _, sc := range pickedScopes {
			if *scopes != "" || sc.Name == m.Scope {
				p.mutants = append(p.mutants, job{mutant: m, scope: sc})
			}
		}
	}
	return p, nil
}

// pick finds what is named in a list; an empty list names all.
func pick[T any](what, list string, from []T, name func(T) string) ([]T, error) {
	if list == "" {
		return from, nil
	}
	var picked []T
	for want := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(from, func(x T) bool { return name(x) == want })
		if i < 0 {
			names := make([]string, len(from))
			for i, x := range from {
				names[i] = name(x)
			}
			return nil, fmt.Errorf("no %s %q; there are %s", what, want, strings.Join(names, ", "))
		}
		picked = append(picked, from[i])
	}
	return picked, nil
}

// execute runs the plan and says whether all went as it must.
func (p *plan) execute(ctx context.Context, out io.Writer) bool {
	start := time.Now()
	states, open, bad := 0, 0, 0
	for _, sc := range p.scopes {
		res, verdict := p.scope(ctx, sc, out)
		states += res.States
		switch verdict {
		case broken:
			bad++
		case unfinished:
			open++
		}
	}
	for _, j := range p.mutants {
		res, caught := p.mutant(ctx, j, out)
		states += res.States
		if !caught {
			bad++
		}
	}
	fmt.Fprintf(out, "%d scopes, %d of them open; %d mutants; %d wrong; %d states in %.0f s\n",
		len(p.scopes), open, len(p.mutants), bad, states, time.Since(start).Seconds())
	if ctx.Err() != nil {
		fmt.Fprintln(out, "interrupted: what did not run is not decided")
		return false
	}
	return bad == 0 && (open == 0 || !p.all)
}

// verdict on a scope.
type verdict int

const (
	holds verdict = iota
	broken
	unfinished
)

func (p *plan) scope(ctx context.Context, sc model.Scope, out io.Writer) (model.Result, verdict) {
	m := &model.Model{Scope: sc, Guards: model.AllGuards}
	res, err := m.Search(ctx, p.limits)
	v, text := holds, "holds"
	switch {
	case err != nil:
		v, text = broken, err.Error()
	case res.Broken != "":
		v, text = broken, "BROKEN "+string(res.Broken)
	case !res.Complete:
		v, text = unfinished, "open: nothing is wrong so far, and not all was visited; raise -budget or -states"
	case res.States != sc.States || res.Depth != sc.Depth:
		v, text = broken, fmt.Sprintf("CHANGED: on record are %d states, depth %d: the protocol in jepsen/model is another now", sc.States, sc.Depth)
	}
	fmt.Fprintf(out, "scope  %-22s %-20s %9d states  depth %-2d  S4 from %8d  %6.1f s  %s\n",
		"all rules", sc.Name, res.States, res.Depth, res.Settled, res.Took.Seconds(), text)
	p.printTrace(out, res)
	return res, v
}

func (p *plan) mutant(ctx context.Context, j job, out io.Writer) (model.Result, bool) {
	m := &model.Model{Scope: j.scope, Guards: j.mutant.Guards()}
	limits := p.limits
	limits.Settle = 0 // mutants are caught by what is unsafe
	res, err := m.Search(ctx, limits)
	text := "NOT CAUGHT"
	switch {
	case err != nil:
		text = err.Error()
	case res.Broken != "":
		text = fmt.Sprintf("caught in %d steps: %s", len(res.Trace), res.Broken)
	case !res.Complete:
		text = "NOT CAUGHT yet: raise -budget or -states"
	}
	fmt.Fprintf(out, "mutant %-22s %-20s %9d states  %-24s %6.1f s  %s\n", j.mutant.Name, j.scope.Name, res.States,
		"without "+strings.Join(j.mutant.Rules, ", "), res.Took.Seconds(), text)
	p.printTrace(out, res)
	return res, res.Broken != ""
}

func (p *plan) printTrace(out io.Writer, res model.Result) {
	if !p.trace {
		return
	}
	for i, step := range res.Trace {
		fmt.Fprintf(out, "    %2d. %s\n", i+1, step)
	}
}
