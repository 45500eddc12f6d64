// Command demo is the main job on one machine, with real processes: three
// keepers, two proxies, a MariaDB primary with two replicas and an agent beside
// each. Under a load that remembers every acknowledged write it switches the
// primary, kills the leading keeper, switches back, and reports what the clients
// saw.
//
//	demo [-bin DIR] [-once] [-report FILE] [-switches N]
//
// With -switches it measures that many planned switches instead.
//
// It exits 0 only if no client saw an error, and no acknowledged row was lost or
// written twice.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
)

// limit bounds the whole demonstration, without the time to look around.
const limit = 4 * time.Minute

func main() {
	bin := flag.String("bin", "", "directory with zerokeeper, zeroproxy, zeroagent and zeroctl; they are built when it is empty")
	once := flag.Bool("once", false, "end after the report")
	report := flag.String("report", "demo-report.json", "file for the report")
	switches := flag.Int("switches", 0, "measure so many planned switches instead of the play, and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, *bin, *report, *once || *switches > 0, *switches))
}

// run is the demonstration; its result is the exit code.
func run(ctx context.Context, bin, reportFile string, once bool, switches int) int {
	f, err := fleet.New(fleet.Options{BinDir: bin, KeepOnFailure: true})
	if err != nil {
		return fail(err)
	}
	d := &demo{fleet: f, began: time.Now(), switches: switches}
	playing, cancel := context.WithTimeout(ctx, limit+time.Duration(switches)*10*time.Second)
	defer cancel()
	report, err := d.play(playing)
	if err == nil {
		err = report.write(reportFile)
	}
	if err == nil {
		report.print(os.Stdout)
		err = report.verdict()
	}
	if err != nil {
		f.Fail()
	}
	if err == nil && !once {
		d.lookAround(os.Stdout)
		<-ctx.Done()
		fmt.Println("\nstopping everything")
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fail(err)
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "demo:", err)
	return 1
}
