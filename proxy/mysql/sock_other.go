//go:build !linux

package mysql

import (
	"net"
	"syscall"
)

// Elsewhere than on Linux a dead idle connection is noticed only when it is used.

func limitUnacked(_, _ string, _ syscall.RawConn) error { return nil }

func quiet(net.Conn) bool { return true }

func gone(net.Conn) bool { return false }
