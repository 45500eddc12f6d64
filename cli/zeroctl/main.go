// Command zeroctl is what operators use: see package ctl.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/zerokeeper/zero/cli/ctl"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return ctl.Main(ctx, os.Args[1:], ctl.ProcessStreams(), ctl.Dependencies{
		Connect:  func(c ctl.Connection) (ctl.Keepers, error) { return ctl.NewClientKeepers(c) },
		Discover: ctl.DiscoverMySQL,
		Now:      time.Now,
	})
}
