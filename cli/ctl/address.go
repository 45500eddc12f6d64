package ctl

import (
	"fmt"
	"net"
	"strconv"
)

// maxKeepers bounds --keepers.
const maxKeepers = 32

// checkAddress holds an address to the form host:port.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("%q is no address: want host:port, e.g. %s", address, DefaultKeeper)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is no address: the port is a number from 1 to 65535", address)
	}
	return nil
}
