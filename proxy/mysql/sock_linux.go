package mysql

import (
	"net"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT, which package syscall does not name.
const tcpUserTimeout = 0x12

// limitUnacked makes a connection fail when what was sent is not acknowledged within unackedTimeout: keep-alive
// probes are not sent while data is on its way, and the kernel would retransmit for a quarter of an hour.
func limitUnacked(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unackedTimeout/time.Millisecond))
	}); cerr != nil {
		return cerr
	}
	return err
}

// quiet reports whether an idle connection is alive and has nothing to say. A server that closed it, or that
// sent an error before closing, is not.
func quiet(nc net.Conn) bool { return peekSocket(nc) == peekNothing }

// gone reports whether the peer has closed the connection.
func gone(nc net.Conn) bool { return peekSocket(nc) == peekClosed }

type peekResult uint8

const (
	peekNothing peekResult = iota
	peekData
	peekClosed
)

// peekSocket looks, without waiting and without taking it, at what a connection has to be read.
func peekSocket(nc net.Conn) peekResult {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return peekNothing // no socket underneath, as in tests
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return peekClosed
	}
	res := peekClosed
	var b [1]byte
	err = raw.Control(func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case n > 0:
			res = peekData
		case err == syscall.EAGAIN || err == syscall.EINTR:
			res = peekNothing
		}
	})
	if err != nil {
		return peekClosed
	}
	return res
}
