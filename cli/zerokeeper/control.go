//go:build control

package main

import (
	"context"
	"net"
	"os"
	"strings"

	"github.com/zerokeeper/zero/cli/daemon"
	"github.com/zerokeeper/zero/cluster"
	"github.com/zerokeeper/zero/cluster/keeper"
	"github.com/zerokeeper/zero/fsm"
)

// This build is for tests. ZERO_CONTROL names what is to be broken, with commas
// between, so that the tests which should notice can show that they do;
// ZERO_DIAL_MAP ("host:port=host:port,…") places relays between the keepers.
const (
	brokenSync     = "nosync"     // the log is written without fsync
	brokenReads    = "staleread"  // reads without proof of leadership
	brokenTTL      = "wallclock"  // times to live on the wall clock
	brokenSums     = "nosum"      // checksums of log entries are ignored
	brokenSessions = "nosessions" // retries happen again
	brokenProofs   = "noproof"    // leases are granted without proof of leadership (R1)
	brokenWaits    = "nowait"     // nobody's lease is waited for (R2)
)

var dial func(ctx context.Context, network, address string) (net.Conn, error)

func init() {
	broken := daemon.Broken(brokenSync, brokenReads, brokenTTL, brokenSums, brokenSessions, brokenProofs, brokenWaits)
	cluster.Break(broken[brokenSync], broken[brokenReads], broken[brokenSums])
	keeper.Break(broken[brokenTTL], broken[brokenProofs], broken[brokenWaits])
	fsm.Break(broken[brokenSums], broken[brokenSessions])
	if relays := os.Getenv("ZERO_DIAL_MAP"); relays != "" {
		dial = through(relays)
	}
}

// through dials the relay in place of the keeper.
func through(relays string) func(ctx context.Context, network, address string) (net.Conn, error) {
	instead := map[string]string{}
	for pair := range strings.SplitSeq(relays, ",") {
		from, to, _ := strings.Cut(pair, "=")
		instead[from] = to
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if relay := instead[address]; relay != "" {
			address = relay
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}
