package mysql

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Of the protocol (COM_BINLOG_DUMP: command, position, flags, server_id, file).
const (
	comBinlogDump = 0x12
	dumpNonBlock  = 1 // the dump ends at the end of the binary log
	capabilityTLS = 1 << 11

	packetHeader  = 4               // length, 3 bytes, and sequence number
	sslRequest    = 32              // payload: what every login begins with
	maxLoginReply = 1 << 16         // bytes; a login's answers are a hundred or so
	firstOfError  = 0xff            // first byte of an error,
	firstOfEnd    = 0xfe            // and of the end of a dump
	dumpPackets   = 2               // the name of the file, and what the file begins with
	ownDumpID     = uint32(1) << 31 // set in the server_id of a dump: one's own replica has another
	maxErrorText  = 1024            // bytes of a server's error that are kept
)

// dumpWake is how long a source that is there takes to answer, many times over.
const dumpWake = 200 * time.Millisecond

// dumpConn is a connection on which the driver logs in and a dump is asked for, which the
// driver cannot do. It does TLS itself, below the driver: the driver's login goes on as if
// there were none, one sequence number behind what is on the wire.
type dumpConn struct {
	net.Conn          // the raw one: closed, and given deadlines, by anybody
	rw       net.Conn // what is read and written; the same, or TLS over it
	tls      *tls.Config
	behind   bool         // the driver's sequence numbers are one behind
	in       bytes.Reader // of a packet whose number was changed
}

func newDumpConn(conn net.Conn, t *tls.Config) *dumpConn {
	return &dumpConn{Conn: conn, rw: conn, tls: t}
}

// Write sends a packet; the driver gives it whole. The first one is the login.
func (d *dumpConn) Write(p []byte) (int, error) {
	if d.tls == nil && !d.behind {
		return d.rw.Write(p)
	}
	if len(p) < packetHeader {
		return 0, fmt.Errorf("a packet of %d bytes", len(p))
	}
	p = bytes.Clone(p)
	if d.tls != nil {
		if err := d.secure(p); err != nil {
			return 0, fmt.Errorf("tls: %w", err)
		}
	}
	if p[3] == 0 { // a command: the login is over
		d.behind = false
	}
	if d.behind {
		p[3]++
	}
	return d.rw.Write(p)
}

// secure begins TLS before the login is sent.
func (d *dumpConn) secure(login []byte) error {
	if len(login) < packetHeader+sslRequest || login[3] != 1 {
		return errors.New("the first packet is no login")
	}
	login[5] |= capabilityTLS >> 8
	request := bytes.Clone(login[:packetHeader+sslRequest])
	request[0], request[1], request[2] = sslRequest, 0, 0
	if _, err := d.rw.Write(request); err != nil {
		return err
	}
	secured := tls.Client(d.Conn, d.tls)
	if err := secured.Handshake(); err != nil { // the driver's deadline for a login bounds it
		return err
	}
	d.rw, d.tls, d.behind = secured, nil, true
	return nil
}

// Read gives the driver what it expects.
func (d *dumpConn) Read(p []byte) (int, error) {
	if d.in.Len() == 0 && d.behind {
		packet := make([]byte, packetHeader)
		if _, err := io.ReadFull(d.rw, packet); err != nil {
			return 0, err
		}
		n := int(packet[0]) | int(packet[1])<<8 | int(packet[2])<<16
		if n > maxLoginReply {
			return 0, fmt.Errorf("an answer of %d bytes to a login", n)
		}
		packet[3]--
		packet = append(packet, make([]byte, n)...)
		if _, err := io.ReadFull(d.rw, packet[packetHeader:]); err != nil {
			return 0, err
		}
		d.in.Reset(packet)
	}
	if d.in.Len() > 0 {
		return d.in.Read(p)
	}
	return d.rw.Read(p)
}

// dump asks for the binary log from a position on, and returns when the source has begun
// with it or has nothing more. The connection is of no use any more then.
func (d *dumpConn) dump(ctx context.Context, file string, position, id uint32) error {
	defer d.Close()
	deadline, ok := ctx.Deadline()
	if !ok {
		return errors.New("binlog dump: no deadline")
	}
	if err := d.SetDeadline(deadline); err != nil {
		return fmt.Errorf("binlog dump: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = d.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	// The source answers when it has done with the dump, and may not have done before something
	// comes in from a replica: it waits then for the thread that reads acknowledgements, which
	// has missed that there is one replica less (10.11.19). The end of what is sent here wakes it. What
	// was asked for has happened by then.
	wake := time.AfterFunc(dumpWake, func() {
		if c, ok := d.Conn.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite() // of a connection that is closed next
		}
	})
	defer wake.Stop()
	payload := []byte{comBinlogDump}
	payload = binary.LittleEndian.AppendUint32(payload, position)
	payload = binary.LittleEndian.AppendUint16(payload, dumpNonBlock)
	payload = binary.LittleEndian.AppendUint32(payload, id)
	payload = append(payload, file...)
	if _, err := d.Write(append([]byte{byte(len(payload)), byte(len(payload) >> 8), 0, 0}, payload...)); err != nil {
		return fmt.Errorf("binlog dump: %w: %w", ErrUnknown, err)
	}
	for range dumpPackets {
		first, text, err := d.packet()
		switch {
		case err != nil:
			return fmt.Errorf("binlog dump: %w: %w", ErrUnknown, err)
		case first == firstOfError && len(text) >= 2:
			return fmt.Errorf("binlog dump: %w", &mysql.MySQLError{Number: binary.LittleEndian.Uint16(text), Message: string(text[2:])})
		case first == firstOfEnd:
			return nil
		case first != 0:
			return fmt.Errorf("binlog dump: the source answers with %#x", first)
		}
	}
	return nil
}

// packet reads one packet: its first byte, and what follows, of which the beginning is kept.
func (d *dumpConn) packet() (first byte, rest []byte, err error) {
	var head [packetHeader + 1]byte
	if _, err := io.ReadFull(d.rw, head[:]); err != nil {
		return 0, nil, err
	}
	n := int64(head[0]) | int64(head[1])<<8 | int64(head[2])<<16
	if n == 0 {
		return 0, nil, errors.New("an empty packet")
	}
	rest = make([]byte, min(n-1, maxErrorText))
	if _, err := io.ReadFull(d.rw, rest); err != nil {
		return 0, nil, err
	}
	_, err = io.CopyN(io.Discard, d.rw, n-1-int64(len(rest)))
	return head[packetHeader], rest, err
}
