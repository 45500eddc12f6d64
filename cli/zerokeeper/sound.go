//go:build !control

package main

import (
	"context"
	"net"
)

// dial is nil: keepers dial each other as they are named. In a build with the
// tag "control" tests may place relays between them.
var dial func(ctx context.Context, network, address string) (net.Conn, error)
