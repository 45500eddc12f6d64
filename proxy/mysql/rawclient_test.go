package mysql

import (
	"encoding/binary"
	"testing"
	"time"
)

// rawClient speaks the protocol packet by packet, for what no driver does.
type rawClient struct {
	t    *testing.T
	l    link
	caps uint32
	id   uint32 // connection id told by the server
	salt []byte
}

const rawCaps = capAdvertised &^ (capConnectWithDB | capSessionTrack)

// raw logs in to address with the given capabilities.
func raw(t *testing.T, address string, caps uint32) *rawClient {
	t.Helper()
	nc, res, err := Dialer{}.dial(t.Context(), address, loginParams{user: testUser, password: testPassword,
		caps: caps, database: "shop", collation: 45, maxPacket: 1 << 24})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &rawClient{t: t, l: link{nc: nc}, caps: res.caps, id: res.threadID}
}

// send writes one command.
func (c *rawClient) send(code byte, body ...byte) {
	c.t.Helper()
	if err := c.l.write(appendPackets(nil, append([]byte{code}, body...))); err != nil {
		c.t.Fatal(err)
	}
}

// packet reads one payload.
func (c *rawClient) packet() []byte {
	c.t.Helper()
	p, _, err := c.l.readPayload(1 << 26)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// rawResult is one result of an answer.
type rawResult struct {
	ok      okInfo
	err     *MySQLError
	columns int
	rows    [][]byte // payloads
}

// result reads one result.
func (c *rawClient) result() (r rawResult) {
	c.t.Helper()
	p := c.packet()
	switch p[0] {
	case headOK:
		r.ok = c.mustOK(parseOK(p))
		return r
	case headERR:
		r.err, _ = parseERR(p)
		return r
	}
	n, _, err := readLenenc(p)
	if err != nil {
		c.t.Fatal(err)
	}
	for r.columns = int(n); n > 0; n-- {
		c.packet()
	}
	if c.caps&capDeprecateEOF == 0 {
		if r.ok = c.mustOK(parseEOF(c.packet())); r.ok.status&statusCursorExists != 0 {
			return r
		}
	}
	r.rows, r.ok, r.err = c.fetched()
	return r
}

// fetched reads rows up to their end.
func (c *rawClient) fetched() (rows [][]byte, ok okInfo, e *MySQLError) {
	c.t.Helper()
	for {
		switch p := c.packet(); {
		case p[0] == headERR:
			e, _ = parseERR(p)
			return rows, ok, e
		case p[0] == headEOF && c.caps&capDeprecateEOF != 0:
			return rows, c.mustOK(parseOK(p)), nil
		case p[0] == headEOF && len(p) < 9:
			return rows, c.mustOK(parseEOF(p)), nil
		default:
			rows = append(rows, p)
		}
	}
}

func (c *rawClient) mustOK(ok okInfo, err error) okInfo {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	return ok
}

// query runs a statement with one result.
func (c *rawClient) query(text string) rawResult {
	c.t.Helper()
	c.send(comQuery, []byte(text)...)
	return c.result()
}

// value runs a query and returns the first value of its only row.
func (c *rawClient) value(text string) string {
	c.t.Helper()
	r := c.query(text)
	if r.err != nil || len(r.rows) != 1 {
		c.t.Fatalf("%s: %d rows, %v", text, len(r.rows), r.err)
	}
	return string(splitRow(r.rows[0])[0])
}

// must runs a statement that must succeed.
func (c *rawClient) must(text string) rawResult {
	c.t.Helper()
	r := c.query(text)
	if r.err != nil {
		c.t.Fatalf("%s: %v", text, r.err)
	}
	return r
}

// prepare prepares a statement and returns its id.
func (c *rawClient) prepare(text string) (id uint32, params, columns int) {
	c.t.Helper()
	c.send(comStmtPrepare, []byte(text)...)
	p := c.packet()
	if p[0] != headOK {
		e, _ := parseERR(p)
		c.t.Fatalf("prepare %s: %v", text, e)
	}
	id = binary.LittleEndian.Uint32(p[1:])
	columns, params = int(binary.LittleEndian.Uint16(p[5:])), int(binary.LittleEndian.Uint16(p[7:]))
	for _, n := range []int{params, columns} {
		if n > 0 && c.caps&capDeprecateEOF == 0 {
			n++
		}
		for range n {
			c.packet()
		}
	}
	return id, params, columns
}

// execute executes a statement. tail is what follows the iteration count.
func (c *rawClient) execute(id uint32, cursorType byte, tail ...byte) rawResult {
	c.t.Helper()
	body := binary.LittleEndian.AppendUint32(nil, id)
	body = append(body, cursorType, 1, 0, 0, 0)
	c.send(comStmtExecute, append(body, tail...)...)
	return c.result()
}

// u32 is a number as command bodies have it.
func u32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// dropped waits for the server to close the connection, and fails the test if it sends something first.
func (c *rawClient) dropped() {
	c.t.Helper()
	if p, _, err := c.l.readPayload(1 << 20); err == nil {
		c.t.Fatalf("the connection is still open and says % x", p)
	}
}

// bothModes runs a test with EOF packets and without.
func bothModes(t *testing.T, f func(t *testing.T, caps uint32)) {
	t.Helper()
	t.Run("deprecate EOF", func(t *testing.T) { f(t, rawCaps) })
	t.Run("EOF", func(t *testing.T) { f(t, rawCaps&^capDeprecateEOF) })
}
