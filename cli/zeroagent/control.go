//go:build control

package main

import (
	"github.com/zerokeeper/zero/agent"
	"github.com/zerokeeper/zero/cli/daemon"
)

// This build is for tests. ZERO_CONTROL names what is to be broken.
const (
	brokenStamps = "nostamp"  // orders and grants of any stamp are obeyed (R8)
	brokenMemory = "nomemory" // nothing is on the disk before an answer (R16)
)

func init() {
	broken := daemon.Broken(brokenStamps, brokenMemory)
	agent.Break(broken[brokenStamps], broken[brokenMemory])
}
