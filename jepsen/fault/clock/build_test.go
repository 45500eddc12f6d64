package clock

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// process is a program of testdata.
type process struct {
	t     *testing.T
	stdin io.Writer
	lines *bufio.Reader
}

func start(t *testing.T, program string, env ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's own ends before its clean-up
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), env...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	return &process{t: t, stdin: stdin, lines: bufio.NewReader(stdout)}
}

// sees checks what the process sees while its clock is off by offset since it was off by first at its start.
func (p *process) sees(offset, first time.Duration, started time.Time) {
	p.t.Helper()
	before := time.Now()
	if _, err := fmt.Fprintln(p.stdin); err != nil {
		p.t.Fatal(err)
	}
	line, err := p.lines.ReadString('\n')
	after := time.Now()
	if err != nil {
		p.t.Fatal(err)
	}
	var wall int64
	var mono, wallElapsed, since time.Duration
	if _, err := fmt.Sscan(line, &wall, &mono, &wallElapsed, &since); err != nil {
		p.t.Fatalf("%q: %v", line, err)
	}
	const slack = 100 * time.Millisecond // the machine's own wall clock may be slewed
	if at := time.Unix(0, wall).Add(-offset); at.Before(before.Add(-slack)) || at.After(after.Add(slack)) {
		p.t.Errorf("moved by %v, its wall clock is off by %v", offset, time.Unix(0, wall).Sub(before))
	}
	if most := after.Sub(started); mono < 0 || mono > most || since < mono || since > most {
		p.t.Errorf("moved by %v, its monotonic clock says %v and %v since its start, want %v at most", offset, mono, since, most)
	}
	if got, want := wallElapsed-mono, offset-first; (got - want).Abs() > slack {
		p.t.Errorf("moved by %v, its wall clock has gone %v further than its monotonic clock, want %v", offset, got, want)
	}
}

func TestBuild(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	program := filepath.Join(t.TempDir(), "skewed")
	began := time.Now()
	if err := Build(ctx, BuildConfig{ModuleDir: ".", Out: program, Packages: []string{"./testdata/skewed"}}); err != nil {
		t.Fatal(err)
	}
	t.Logf("built in %v", time.Since(began).Round(time.Millisecond))
	const day = 24 * time.Hour

	t.Run("moved while it runs", func(t *testing.T) {
		c := newClock(t)
		started := time.Now()
		p := start(t, program, c.Env()...)
		for _, o := range []time.Duration{0, day, -day, -time.Hour - time.Nanosecond, 999_999_999, -999_999_999, maxOffset, -maxOffset, 0} {
			if err := c.Set(o); err != nil {
				t.Fatal(err)
			}
			p.sees(o, 0, started)
		}
	})
	t.Run("moved before it starts", func(t *testing.T) {
		c := newClock(t)
		if err := c.Set(-day); err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		p := start(t, program, c.Env()...)
		p.sees(-day, -day, started)
	})
	t.Run("each has its own", func(t *testing.T) {
		a, b := newClock(t), newClock(t)
		started := time.Now()
		pa, pb := start(t, program, a.Env()...), start(t, program, b.Env()...)
		pa.sees(0, 0, started) // it has begun: what it sees later is since then
		pb.sees(0, 0, started)
		if err := a.Set(day); err != nil {
			t.Fatal(err)
		}
		pb.sees(0, 0, started)
		if err := a.Set(0); err != nil {
			t.Fatal(err)
		}
		pa.sees(0, 0, started)
	})
	t.Run("without the variable", func(t *testing.T) {
		started := time.Now()
		start(t, program).sees(0, 0, started)
	})
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("1234"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"no file": filepath.Join(t.TempDir(), "none"), "a short file": short} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(ctx, program)
			cmd.Env = append(os.Environ(), variable+"="+path)
			if text, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(text), "ZERO_CLOCK="+path) {
				t.Errorf("it ended with %v and said %q: it must not run on another clock", err, text)
			}
		})
	}
	t.Run("a program that does not build", func(t *testing.T) {
		err := Build(ctx, BuildConfig{ModuleDir: ".", Out: program, Packages: []string{"./testdata/none"}})
		if err == nil || !strings.Contains(err.Error(), "testdata/none") {
			t.Errorf("got %v, want what go said", err)
		}
	})
}

func TestPatch(t *testing.T) {
	const good = "package time\n" + whole + "\treturn Time{}\n}\n"
	tests := []struct {
		name, text string
		bad        bool
	}{
		{name: "as it is", text: good},
		{name: "renamed", text: strings.ReplaceAll(good, "runtimeNow", "runtimeTime"), bad: true},
		{name: "twice", text: good + whole, bad: true},
		{name: "empty", bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := patch(tt.text, "go9.9.9")
			if !tt.bad {
				if err != nil || got != "package time\n"+patched+"\treturn Time{}\n}\n" {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if !errors.Is(err, ErrUnknownGo) || !strings.Contains(fmt.Sprint(err), "go9.9.9") {
				t.Errorf("got %v, want ErrUnknownGo and the release", err)
			}
		})
	}
}

func TestBuildConfigValidate(t *testing.T) {
	good := BuildConfig{ModuleDir: ".", Out: "x", Packages: []string{"."}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*BuildConfig){
		"ModuleDir": func(c *BuildConfig) { c.ModuleDir = "" },
		"Out":       func(c *BuildConfig) { c.Out = "" },
		"Packages":  func(c *BuildConfig) { c.Packages = nil },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("without %s it is valid", name)
		}
		if err := Build(t.Context(), c); err == nil {
			t.Errorf("without %s it is built", name)
		}
	}
}
