package mysql

import (
	"fmt"
	"slices"
)

const (
	// maxLoginPacket bounds what a peer may send before it is logged in. Connection attributes alone may take
	// 64 KiB.
	maxLoginPacket = 80 << 10
	maxNameBytes   = 4 * 256 // of a user or database name: 64 characters of 4 bytes, and ample room
)

// handshakeResponse is the client's answer to the greeting, and nearly the same as a COM_CHANGE_USER.
type handshakeResponse struct {
	caps      uint32
	maxPacket uint32
	collation uint16
	user      string
	auth      []byte
	database  string
	plugin    string
	attrs     []byte // length-encoded keys and values as they came, without the length in front
}

// parseHandshakeResponse reads a HandshakeResponse41. It copies what it keeps.
func parseHandshakeResponse(p []byte) (handshakeResponse, error) {
	c := cursor{p: p}
	r := handshakeResponse{caps: c.u32("capabilities")}
	if c.err == nil && r.caps&capProtocol41 == 0 {
		return r, fmt.Errorf("%w: the client speaks the protocol from before MySQL 4.1", errMalformed)
	}
	r.maxPacket = c.u32("maximum packet size")
	r.collation = uint16(c.u8("collation"))
	c.take(23, "reserved bytes")
	if c.err == nil && r.caps&capSSL != 0 && len(c.p) == 0 {
		return r, fmt.Errorf("%w: the client asks for TLS, which was not offered", errMalformed)
	}
	r.user = string(c.nul("user name"))
	switch {
	case r.caps&capAuthLenenc != 0:
		r.auth = slices.Clone(c.bytes("authentication response"))
	case r.caps&capSecureConn != 0:
		r.auth = slices.Clone(c.take(int(c.u8("authentication response")), "authentication response"))
	default:
		r.auth = slices.Clone(c.nul("authentication response"))
	}
	if r.caps&capConnectWithDB != 0 && len(c.p) > 0 { // a client without a database may leave it out
		r.database = string(c.nul("database"))
	}
	r.readTail(&c)
	return r, r.check(c.err, "handshake response")
}

// parseChangeUser reads the payload of a COM_CHANGE_USER, command byte included, of a client with the given
// capabilities.
func parseChangeUser(p []byte, caps uint32) (handshakeResponse, error) {
	c := cursor{p: p}
	c.take(1, "command")
	r := handshakeResponse{caps: caps, user: string(c.nul("user name"))}
	if caps&capSecureConn != 0 {
		r.auth = slices.Clone(c.take(int(c.u8("authentication response")), "authentication response"))
	} else {
		r.auth = slices.Clone(c.nul("authentication response"))
	}
	r.database = string(c.nul("database"))
	if len(c.p) > 0 {
		r.collation = c.u16("collation")
		r.readTail(&c)
	}
	return r, r.check(c.err, "change user")
}

// readTail reads the plugin name and the attributes, which both packets end with.
func (r *handshakeResponse) readTail(c *cursor) {
	if r.caps&capPluginAuth != 0 && len(c.p) > 0 {
		r.plugin = string(c.nul("plugin name"))
	}
	if r.caps&capConnectAttrs != 0 && len(c.p) > 0 {
		r.attrs = slices.Clone(c.bytes("connection attributes"))
	}
}

func (r *handshakeResponse) check(err error, what string) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case len(r.user) > maxNameBytes || len(r.database) > maxNameBytes:
		return fmt.Errorf("%s: %w: a name is longer than %d bytes", what, errMalformed, maxNameBytes)
	}
	return nil
}

// appendHandshakeResponse appends the payload of r.
func appendHandshakeResponse(b []byte, r handshakeResponse) []byte {
	for _, v := range []uint32{r.caps, r.maxPacket} {
		b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	b = append(b, byte(r.collation))
	b = append(b, make([]byte, 23)...)
	b = append(b, r.user...)
	b = append(b, 0)
	switch {
	case r.caps&capAuthLenenc != 0:
		b = appendLenenc(b, uint64(len(r.auth)))
		b = append(b, r.auth...)
	case r.caps&capSecureConn != 0:
		b = append(b, byte(len(r.auth)))
		b = append(b, r.auth...)
	default:
		b = append(b, r.auth...)
		b = append(b, 0)
	}
	if r.caps&capConnectWithDB != 0 {
		b = append(b, r.database...)
		b = append(b, 0)
	}
	if r.caps&capPluginAuth != 0 {
		b = append(b, r.plugin...)
		b = append(b, 0)
	}
	if r.caps&capConnectAttrs != 0 {
		b = appendLenenc(b, uint64(len(r.attrs)))
		b = append(b, r.attrs...)
	}
	return b
}
