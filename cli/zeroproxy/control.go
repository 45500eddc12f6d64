//go:build control

package main

import (
	"github.com/zerokeeper/zero/cli/daemon"
	"github.com/zerokeeper/zero/proxy"
	"github.com/zerokeeper/zero/proxy/mysql"
)

// This build is for tests. ZERO_CONTROL names what is to be broken.
const (
	brokenStamps = "nostamp" // orders and grants of any stamp are obeyed (R8)
	brokenChecks = "nolease" // an OK is relayed whatever has become of the lease (R12c)
)

func init() {
	broken := daemon.Broken(brokenStamps, brokenChecks)
	proxy.Break(broken[brokenStamps])
	mysql.Break(broken[brokenChecks])
}
