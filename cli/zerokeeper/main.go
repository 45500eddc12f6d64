// Command zerokeeper runs one keeper: a member of the Raft group that holds
// what the fleet agrees on.
package main

import (
	"os"

	"github.com/zerokeeper/zero/cli/daemon"
)

func main() { os.Exit(daemon.Main(new(options).app())) }
