package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/zerokeeper/zero/jepsen/switches"
)

// measureSwitches needs neither namespaces nor faults.
func measureSwitches(f flags) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := switches.Options{Count: max(f.switches, 1), Arms: []switches.Arm{{Name: filepath.Base(f.bin), BinDir: f.bin}}}
	if f.with != "" {
		o.Arms = append(o.Arms, switches.Arm{Name: filepath.Base(f.with), BinDir: f.with})
	}
	if f.elections > 0 {
		o.Count = f.elections
		_, err := switches.Elections(ctx, os.Stdout, o)
		return err
	}
	report, err := switches.Measure(ctx, os.Stdout, o)
	if report != nil && f.report != "" {
		err = errors.Join(err, report.Write(f.report))
	}
	return err
}
