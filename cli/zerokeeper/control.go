//go:build control

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

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
)

var dial func(ctx context.Context, network, address string) (net.Conn, error)

func init() {
	known := []string{brokenSync, brokenReads, brokenTTL, brokenSums, brokenSessions}
	broken := map[string]bool{}
	for name := range strings.SplitSeq(os.Getenv("ZERO_CONTROL"), ",") {
		if name != "" && !slices.Contains(known, name) {
			fmt.Fprintf(os.Stderr, "ZERO_CONTROL: %q: want some of %s\n", name, strings.Join(known, ", "))
			os.Exit(64)
		}
		broken[name] = true
	}
	cluster.Break(broken[brokenSync], broken[brokenReads], broken[brokenSums])
	keeper.Break(broken[brokenTTL])
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
