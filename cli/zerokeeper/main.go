// Command zerokeeper runs one keeper: a member of the Raft group that holds
// what the fleet agrees on.
//
// Its exit codes are those of package daemon, and 74 when the disk hung: calls
// of the store did not come back, everything was closed, and a restart helps as
// soon as the disk does.
package main

import (
	"os"

	"github.com/zerokeeper/zero/cli/daemon"
)

func main() {
	o := &options{end: verdict{exit: os.Exit}}
	os.Exit(o.end.code(daemon.Main(o.app())))
}
