package switches

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Options say what is measured. Count is the number of switches of each build.
type Options struct {
	Count   int
	Arms    []Arm         // one, or two that take turns
	Block   int           // switches of one before it is the other's turn; 0: 5
	Servers int           // 0: 3
	Lease   time.Duration // of the keepers; 0: 2 s
	// DrainTimeout is the configuration's; 0: 2 s.
	DrainTimeout time.Duration
}

func (o Options) withDefaults() (Options, error) {
	if o.Count < 1 || len(o.Arms) < 1 || o.Block < 0 {
		return o, errors.New("measure switches: there must be a build and a switch at least")
	}
	if o.Block == 0 {
		o.Block = 5
	}
	if o.Lease == 0 {
		o.Lease = 2 * time.Second
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 2 * time.Second
	}
	return o, nil
}

// ErrNoticed: clients saw errors, rows are missing, or a switch was not done.
var ErrNoticed = errors.New("clients noticed, or a switch was not done: see the report")

// Measure runs the switches and tells out of each. It fails with ErrNoticed, beside
// a whole report, when anything was not as it must be.
func Measure(ctx context.Context, out io.Writer, o Options) (report *Report, err error) {
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	var arms []*arm
	defer func() {
		for _, a := range arms {
			if err != nil {
				a.fleet.Fail()
			}
			err = errors.Join(err, a.close())
		}
	}()
	for _, a := range o.Arms {
		say("starting build %s", a.Name)
		running, err := o.start(ctx, a)
		if err != nil {
			return nil, err
		}
		arms = append(arms, running)
	}
	for done := 0; done < o.Count; done += o.Block {
		for _, a := range arms {
			if err := a.block(ctx, min(o.Block, o.Count-done), say); err != nil {
				return nil, err
			}
		}
	}
	report = &Report{}
	for _, a := range arms {
		if err := a.long(ctx, say); err != nil {
			return nil, err
		}
		if err := a.count(ctx); err != nil {
			return nil, err
		}
		a.rows.sum()
		report.Builds = append(report.Builds, a.rows)
	}
	report.Print(out)
	return report, report.verdict()
}

// Write writes the report as JSON.
func (r *Report) Write(file string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
