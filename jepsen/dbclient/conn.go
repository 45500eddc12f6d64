package dbclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"net"
	"time"
)

// Config says where to log in. All fields but Database are needed.
type Config struct {
	Addr, User, Password, Database string
	// Dial makes the TCP connection; nil: from this program's network namespace.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// ErrClosed is returned for a statement on a connection that was given up.
var ErrClosed = errors.New("the connection is closed")

// Conn is one session. It is for one goroutine at a time.
type Conn struct {
	conn net.Conn
	r    *bufio.Reader
	dead bool
}

const (
	capLongPassword = 1 << 0
	capWithDatabase = 1 << 3
	capProtocol41   = 1 << 9
	capTransactions = 1 << 13
	capSecure       = 1 << 15
	capPluginAuth   = 1 << 19
	capSessionTrack = 1 << 23

	plugin     = "mysql_native_password"
	utf8mb4    = 45
	comQuit    = 0x01
	comQuery   = 0x03
	authSwitch = 0xfe
	saltSize   = 20
)

// Dial logs in. The context bounds the whole of it.
func Dial(ctx context.Context, cfg Config) (_ *Conn, err error) {
	dial := cfg.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	c := &Conn{conn: conn, r: bufio.NewReader(conn)}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	defer c.bound(ctx)()
	if err := c.login(cfg); err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	return c, nil
}

// bound makes everything fail that lasts longer than ctx.
func (c *Conn) bound(ctx context.Context) (done func()) {
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

func (c *Conn) login(cfg Config) error {
	p, seq, err := readPacket(c.r)
	if err != nil {
		return err
	}
	salt, caps, err := parseGreeting(p)
	if err != nil {
		return err
	}
	if caps&capSessionTrack == 0 {
		return errors.New("the server tracks no sessions: the GTIDs of writes would be unknown")
	}
	want := uint32(capLongPassword | capProtocol41 | capTransactions | capSecure | capPluginAuth | capSessionTrack)
	if cfg.Database != "" {
		want |= capWithDatabase
	}
	b := []byte{byte(want), byte(want >> 8), byte(want >> 16), byte(want >> 24), 0, 0, 0, 1, utf8mb4}
	b = append(b, make([]byte, 23)...)
	b = append(append(b, cfg.User...), 0)
	auth := scramble(salt, cfg.Password)
	b = append(append(b, byte(len(auth))), auth...)
	if cfg.Database != "" {
		b = append(append(b, cfg.Database...), 0)
	}
	b = append(append(b, plugin...), 0)
	if _, err := c.conn.Write(appendPacket(nil, seq+1, b)); err != nil {
		return err
	}
	if p, seq, err = readPacket(c.r); err != nil {
		return err
	}
	if len(p) > 0 && p[0] == authSwitch {
		name, salt, _ := bytes.Cut(p[1:], []byte{0})
		if string(name) != plugin {
			return fmt.Errorf("the server wants a login by %q, this client knows %s", name, plugin)
		}
		answer := scramble(bytes.TrimSuffix(salt, []byte{0}), cfg.Password)
		if _, err := c.conn.Write(appendPacket(nil, seq+1, answer)); err != nil {
			return err
		}
		if p, _, err = readPacket(c.r); err != nil {
			return err
		}
	}
	_, err = parseAnswer(p)
	return err
}

func parseGreeting(p []byte) (salt []byte, caps uint32, err error) {
	if len(p) > 0 && p[0] == headERR {
		return nil, 0, parseERR(p)
	}
	c := cursor{p: p}
	if version := c.uint(1); c.err == nil && version != 10 {
		return nil, 0, fmt.Errorf("%w: protocol version %d", ErrMalformed, version)
	}
	c.zeroed()
	c.take(4) // the connection's id
	salt = append(salt, c.take(8)...)
	c.take(1)
	low := c.uint(2)
	c.take(3) // collation, status
	caps = uint32(low | c.uint(2)<<16)
	c.take(11) // length of the salt, reserved
	salt = append(salt, c.take(saltSize-8)...)
	return salt, caps, c.err
}

// scramble answers a challenge of mysql_native_password.
func scramble(salt []byte, password string) []byte {
	if password == "" {
		return nil
	}
	first := sha1.Sum([]byte(password))
	second := sha1.Sum(first[:])
	answer := sha1.Sum(append(bytes.Clone(salt), second[:]...))
	for i := range answer {
		answer[i] ^= first[i]
	}
	return answer[:]
}

func parseAnswer(p []byte) (OK, error) {
	if len(p) > 0 && p[0] == headERR {
		return OK{}, parseERR(p)
	}
	return parseOK(p)
}

// Exec sends one statement that answers with no rows, once. An *[Error] is an answer of the server's or the proxy's, after
// which the session may go on; after any other error the outcome is unknown and the connection is closed.
func (c *Conn) Exec(ctx context.Context, sql string) (OK, error) {
	if c.dead {
		return OK{}, ErrClosed
	}
	ok, err := c.exec(ctx, sql)
	if _, answered := errors.AsType[*Error](err); err != nil && !answered {
		c.Close()
	}
	return ok, err
}

func (c *Conn) exec(ctx context.Context, sql string) (OK, error) {
	defer c.bound(ctx)()
	if err := ctx.Err(); err != nil {
		return OK{}, err
	}
	if _, err := c.conn.Write(appendPacket(nil, 0, append([]byte{comQuery}, sql...))); err != nil {
		return OK{}, err
	}
	p, _, err := readPacket(c.r)
	if err != nil {
		return OK{}, err
	}
	return parseAnswer(p)
}

// Close ends the session. It waits for nothing.
func (c *Conn) Close() {
	if c.dead {
		return
	}
	c.dead = true
	_ = c.conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = c.conn.Write(appendPacket(nil, 0, []byte{comQuit})) // a courtesy: the end of the connection says the same
	_ = c.conn.Close()                                         // nothing of it is wanted any more
}
