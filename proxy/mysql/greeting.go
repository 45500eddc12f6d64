package mysql

import (
	"bytes"
	"fmt"
)

// greeting is the server's first packet, protocol version 10.
type greeting struct {
	version      string
	connectionID uint32
	salt         []byte // saltSize bytes
	caps         uint32
	collation    byte
	status       uint16
	plugin       string
}

// appendGreeting appends the payload of g.
func appendGreeting(b []byte, g greeting) []byte {
	b = append(b, 10)
	b = append(b, g.version...)
	b = append(b, 0)
	b = append(b, byte(g.connectionID), byte(g.connectionID>>8), byte(g.connectionID>>16), byte(g.connectionID>>24))
	b = append(b, g.salt[:8]...)
	b = append(b, 0, byte(g.caps), byte(g.caps>>8), g.collation, byte(g.status), byte(g.status>>8),
		byte(g.caps>>16), byte(g.caps>>24), saltSize+1)
	b = append(b, make([]byte, 10)...)
	b = append(b, g.salt[8:]...)
	b = append(b, 0)
	b = append(b, g.plugin...)
	return append(b, 0)
}

// parseGreeting reads a server's greeting. A server that turns the connection away sends an ERR packet instead,
// which is returned as a *MySQLError.
func parseGreeting(p []byte) (greeting, error) {
	if len(p) > 0 && p[0] == headERR {
		e, err := parseERR(p)
		if err != nil {
			return greeting{}, err
		}
		return greeting{}, e
	}
	c := cursor{p: p}
	if v := c.u8("protocol version"); c.err == nil && v != 10 {
		return greeting{}, fmt.Errorf("%w: protocol version %d, want 10", errMalformed, v)
	}
	g := greeting{version: string(c.nul("server version")), connectionID: c.u32("connection id")}
	g.salt = append(g.salt, c.take(8, "salt")...)
	c.take(1, "filler")
	g.caps = uint32(c.u16("capabilities"))
	g.collation = c.u8("collation")
	g.status = c.u16("status")
	g.caps |= uint32(c.u16("capabilities")) << 16
	saltLen := int(c.u8("salt length"))
	c.take(10, "reserved bytes")
	rest := c.take(max(13, saltLen-8), "salt")
	if c.err == nil {
		g.salt = append(g.salt, rest[:saltSize-8]...)
	}
	if g.caps&capPluginAuth != 0 && c.err == nil {
		name, _, _ := bytes.Cut(c.p, []byte{0}) // some old servers leave the NUL out
		g.plugin = string(name)
	}
	if c.err != nil {
		return greeting{}, fmt.Errorf("greeting: %w", c.err)
	}
	return g, nil
}

// authSwitch is a server's request to log in with another plugin.
type authSwitch struct {
	plugin string
	salt   []byte
}

func appendAuthSwitch(b []byte, a authSwitch) []byte {
	b = append(b, headEOF)
	b = append(b, a.plugin...)
	b = append(b, 0)
	b = append(b, a.salt...)
	return append(b, 0)
}

// parseAuthSwitch reads the payload of an AuthSwitchRequest. A lone 0xfe asks for the password hash that was
// used before MySQL 4.1; it comes back as plugin "mysql_old_password".
func parseAuthSwitch(p []byte) (authSwitch, error) {
	if len(p) == 0 || p[0] != headEOF {
		return authSwitch{}, fmt.Errorf("%w: not an AuthSwitchRequest", errMalformed)
	}
	if len(p) == 1 {
		return authSwitch{plugin: "mysql_old_password"}, nil
	}
	c := cursor{p: p[1:]}
	a := authSwitch{plugin: string(c.nul("plugin name"))}
	if c.err != nil {
		return authSwitch{}, fmt.Errorf("AuthSwitchRequest: %w", c.err)
	}
	a.salt = bytes.TrimSuffix(c.p, []byte{0})
	return a, nil
}
