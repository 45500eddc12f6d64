package mysql

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	driver "github.com/go-sql-driver/mysql"
)

func TestResultsInBothModes(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	bothModes(t, func(t *testing.T, caps uint32) {
		c := raw(t, p.addr, caps)
		c.send(comQuery, []byte("SELECT 1; DO 0; SELECT 2, NULL FROM seq_1_to_3; SELECT nonsense; SELECT 3")...)
		if r := c.result(); len(r.rows) != 1 || r.ok.status&statusMoreResults == 0 {
			t.Fatalf("first: %+v", r)
		}
		if r := c.result(); r.columns != 0 || r.ok.status&statusMoreResults == 0 {
			t.Fatalf("OK in the middle: %+v", r)
		}
		if r := c.result(); len(r.rows) != 3 || r.columns != 2 {
			t.Fatalf("third: %+v", r)
		}
		if r := c.result(); r.err == nil || r.err.Code != 1054 {
			t.Fatalf("error: %+v", r)
		}
		if r := c.query("INSERT INTO nothing VALUES (1)"); r.err == nil || r.err.Code != 1146 || r.err.State != "42S02" {
			t.Fatalf("in step after an error: %+v", r)
		}
		if r := c.query("SELECT * FROM seq_1_to_5 WHERE seq = 77"); r.err != nil || len(r.rows) != 0 || r.columns != 1 {
			t.Fatalf("no rows: %+v", r)
		}
		if r := c.query(""); r.err == nil || r.err.Code != 1065 {
			t.Fatalf("empty query: %+v", r)
		}
	})
}

func TestCursor(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr)
	bothModes(t, func(t *testing.T, caps uint32) {
		c := raw(t, p.addr, caps)
		c.must("SELECT 'another statement first'")
		id, _, columns := c.prepare("SELECT seq FROM seq_1_to_10")
		if columns != 1 {
			t.Fatalf("%d columns", columns)
		}
		if r := c.execute(id, 1); r.err != nil || len(r.rows) != 0 || r.ok.status&statusCursorExists == 0 {
			t.Fatalf("execute with a cursor: %+v", r)
		}
		for i, want := range []int{4, 4, 2} {
			c.send(comStmtFetch, append(u32(id), u32(4)...)...)
			rows, ok, err := c.fetched()
			if err != nil || len(rows) != want || (ok.status&statusLastRowSent != 0) != (i == 2) {
				t.Fatalf("fetch %d: %d rows, %+v, %v", i, len(rows), ok, err)
			}
		}
		if r := c.execute(id, 1); r.err != nil {
			t.Fatal(r.err)
		}
		p.moveTo(t, b.addr)
		c.send(comStmtFetch, append(u32(id), u32(4)...)...)
		_, _, err := c.fetched()
		if err == nil || err.Code != codeConnectionKilled || !strings.Contains(err.Message, "open cursor") {
			t.Fatalf("fetch after the move: %v", err)
		}
		c.dropped()

		// A cursor that is reset, or read to its end, holds nobody.
		c = raw(t, p.addr, caps)
		id, _, _ = c.prepare("SELECT seq FROM seq_1_to_10")
		c.execute(id, 1)
		c.send(comStmtReset, u32(id)...)
		c.mustOK(parseOK(c.packet()))
		p.moveTo(t, a.addr)
		if r := c.execute(id, 0); r.err != nil || len(r.rows) != 10 {
			t.Fatalf("after a reset and a move: %+v", r)
		}
	})
}

func TestPreparedTypesAreRemembered(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr)
	bothModes(t, func(t *testing.T, caps uint32) {
		p.moveTo(t, a.addr)
		c := raw(t, p.addr, caps)
		first, _, _ := c.prepare("SELECT 'some other'")
		id, params, _ := c.prepare("SELECT CONCAT(?, '-', ?), @@port")
		if params != 2 || first == id {
			t.Fatalf("%d parameters, ids %d and %d", params, first, id)
		}
		types := []byte{8, 0, 253, 0} // BIGINT, VARSTRING
		values := append([]byte{5, 0, 0, 0, 0, 0, 0, 0}, "\x03abc"...)
		want := []byte("\x055-abc")
		check := func(r rawResult, on *mariadb) {
			t.Helper()
			if r.err != nil || len(r.rows) != 1 || !bytes.Contains(r.rows[0], want) {
				t.Fatalf("executed: %+v", r)
			}
			if got := c.value("SELECT @@port"); got != port(on) {
				t.Fatalf("on port %s, want %s", got, port(on))
			}
		}
		check(c.execute(id, 0, slices.Concat([]byte{0, 1}, types, values)...), a)
		check(c.execute(id, 0, slices.Concat([]byte{0, 0}, values)...), a)
		p.moveTo(t, b.addr)
		check(c.execute(id, 0, slices.Concat([]byte{0, 0}, values)...), b) // types are not sent again by the client
		check(c.execute(id, 0, slices.Concat([]byte{0, 0}, values)...), b)
		p.moveTo(t, a.addr)
		check(c.execute(lastPrepared, 0, slices.Concat([]byte{0, 0}, values)...), a)

		big := bytes.Repeat([]byte{'x'}, 3<<20) // longer than what is buffered: types go into the middle of it
		p.moveTo(t, b.addr)
		values = append([]byte{5, 0, 0, 0, 0, 0, 0, 0}, append(appendLenenc(nil, uint64(len(big))), big...)...)
		want = big
		check(c.execute(id, 0, slices.Concat([]byte{0, 0}, values)...), b)
		check(c.execute(id, 0, slices.Concat([]byte{0, 1}, types, values)...), b)

		c.send(comStmtClose, u32(id)...)
		if r := c.execute(id, 0, slices.Concat([]byte{0, 1}, types, values)...); r.err == nil || r.err.Code != codeUnknownStmt {
			t.Fatalf("executing a closed statement: %+v", r.err)
		}
		if r := c.execute(first, 0); r.err != nil {
			t.Fatal(r.err)
		}
		c.must("SELECT 1")
	})
}

func TestLongData(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr, func(cfg *Config) { cfg.MaxLongDataBytes = 5 << 20 })
	c := raw(t, p.addr, rawCaps)
	id, _, _ := c.prepare("SELECT MD5(?), LENGTH(?), @@port")
	send := func(param byte, data []byte) {
		c.send(comStmtSendLongData, slices.Concat(u32(id), []byte{param, 0}, data)...)
	}
	types := []byte{252, 0, 252, 0} // BLOB
	run := func(want string, on *mariadb) {
		t.Helper()
		r := c.execute(id, 0, slices.Concat([]byte{0, 1}, types)...)
		if r.err != nil || len(r.rows) != 1 || !bytes.Contains(r.rows[0], []byte(want)) {
			t.Fatalf("executed: %v %q, want %s", r.err, r.rows, want)
		}
		if got := c.value("SELECT @@port"); got != port(on) {
			t.Fatalf("on port %s", got)
		}
	}
	const md5abc = "900150983cd24fb0d6963f7d28e17f72"
	send(0, []byte("a"))
	send(0, []byte("bc"))
	send(1, []byte("x"))
	run(md5abc, a)
	send(0, []byte("ab"))
	send(1, []byte("x"))
	p.moveTo(t, b.addr) // between the pieces and the execution
	send(0, []byte("c"))
	run(md5abc, b)
	big := bytes.Repeat([]byte{'q'}, 2<<20)
	send(0, []byte("abc"))
	send(1, big)
	p.moveTo(t, a.addr)
	run(md5abc, a)
	send(0, []byte("abc"))
	send(1, big)
	send(1, big)
	send(1, big) // more than is kept: fine as long as the session stays
	run(md5abc, a)
	send(0, []byte("abc"))
	send(1, big)
	send(1, big)
	send(1, big)
	p.moveTo(t, b.addr)
	r := c.execute(id, 0, slices.Concat([]byte{0, 1}, types)...)
	if r.err == nil || !strings.Contains(r.err.Message, "long data") {
		t.Fatalf("moved with more long data than is kept: %+v", r)
	}
}

func TestLongDataIsForgottenAfterARefusal(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	if err := p.gate.Configure(gateConfig(50)); err != nil {
		t.Fatal(err)
	}
	c := raw(t, p.addr, rawCaps)
	c.must("CREATE OR REPLACE TABLE longs (s TEXT)")
	id, _, _ := c.prepare("INSERT INTO longs VALUES (?)")
	c.send(comStmtSendLongData, slices.Concat(u32(id), []byte{0, 0}, []byte("stale"))...)
	p.gate.Hold()
	if r := c.execute(id, 0, 0, 1, 252, 0); r.err == nil || r.err.Code != codeReadOnly {
		t.Fatalf("held: %+v", r)
	}
	primary, _, _ := p.gate.Current()
	if err := p.gate.Open(primary, forever); err != nil {
		t.Fatal(err)
	}
	c.send(comStmtSendLongData, slices.Concat(u32(id), []byte{0, 0}, []byte("fresh"))...)
	if r := c.execute(id, 0, 0, 1, 252, 0); r.err != nil {
		t.Fatal(r.err)
	}
	if got := c.value("SELECT s FROM longs"); got != "fresh" {
		t.Fatalf("inserted %q", got)
	}
}

func TestOtherCommands(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	bothModes(t, func(t *testing.T, caps uint32) {
		c := raw(t, p.addr, caps)
		c.must("CREATE OR REPLACE TABLE fields (a INT, b TEXT)")
		c.send(comPing)
		c.mustOK(parseOK(c.packet()))
		c.send(comFieldList, []byte("fields\x00")...)
		if rows, _, err := c.fetched(); err != nil || len(rows) != 2 {
			t.Errorf("field list: %d columns, %v", len(rows), err)
		}
		c.send(comFieldList, []byte("no_such\x00")...)
		if _, _, err := c.fetched(); err == nil || err.Code != 1146 {
			t.Errorf("field list of no table: %v", err)
		}
		c.send(comStatistics)
		if got := string(c.packet()); !strings.HasPrefix(got, "Uptime: ") {
			t.Errorf("statistics %q", got)
		}
		c.send(comProcessInfo)
		if r := c.result(); r.err != nil || len(r.rows) == 0 {
			t.Errorf("process info: %+v", r)
		}
		c.send(comInitDB, []byte("mysql")...)
		c.mustOK(parseOK(c.packet()))
		if got := c.value("SELECT DATABASE()"); got != "mysql" {
			t.Errorf("database %s", got)
		}
		c.send(comInitDB, []byte("no_such_db")...)
		if r := c.result(); r.err == nil || r.err.Code != 1049 {
			t.Errorf("init db: %+v", r)
		}
		c.send(comSetOption, 1, 0) // multiple statements off
		c.packet()
		if r := c.query("SELECT 1; SELECT 2"); r.err == nil || r.err.Code != 1064 {
			t.Errorf("multiple statements after they were turned off: %+v", r)
		}
		c.send(comSetOption, 0, 0)
		c.packet()
		c.send(comQuery, []byte("SELECT 1; SELECT 2")...)
		c.result()
		if r := c.result(); r.err != nil {
			t.Error(r.err)
		}
		for _, code := range []byte{comSleep, comShutdown, comBinlogDump, comTableDump, comRegisterSlave, comBinlogDumpGTID, comDaemon, 0x42, 0xfa, 0xfe} {
			c.send(code, 1, 2, 3)
			if r := c.result(); r.err == nil || r.err.Code != codeUnknownCommand {
				t.Errorf("command %#x: %+v", code, r)
			}
		}
		if got := c.value("SELECT 'in step'"); got != "in step" {
			t.Error(got)
		}
		c.send(comQuit)
		c.dropped()
	})
}

func TestResetConnection(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr)
	c := raw(t, p.addr, rawCaps)
	reset := func() {
		t.Helper()
		c.send(comResetConnection)
		c.mustOK(parseOK(c.packet()))
		eventually(t, "nothing in flight after a reset", func() bool { return p.gate.InFlight() == 0 })
		if got := c.value("SELECT CONCAT_WS('|', @x, @@sql_mode='', @@autocommit+0, DATABASE())"); got != "0|1|shop" {
			t.Fatalf("after a reset: %s", got)
		}
	}
	spoil := func() {
		c.must("CREATE OR REPLACE TABLE resets (a INT)")
		c.must("SET @x=5, sql_mode='', autocommit=0")
		c.must("CREATE TEMPORARY TABLE scratch (a INT)")
		c.must("INSERT INTO resets VALUES (1)")
	}
	spoil()
	reset()
	id, _, _ := c.prepare("SELECT 1")
	spoil()
	if p.gate.InFlight() != 1 {
		t.Fatal("no transaction open")
	}
	reset()
	if r := c.execute(id, 0); r.err == nil || r.err.Code != codeUnknownStmt {
		t.Errorf("a prepared statement survived the reset: %+v", r.err)
	}
	spoil()
	c.must("ROLLBACK")
	p.moveTo(t, b.addr)
	reset() // what could not be moved is gone, so the session goes on
	if got := c.value("SELECT @@port"); got != port(b) {
		t.Errorf("on port %s", got)
	}
}

func TestChangeUser(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	p.dir.addUser(User{Name: "second", Password: "2nd", HostGroup: "main", BackendUser: testUser, BackendPassword: testPassword})
	login := func(c *rawClient, user, password, db, plugin string) []byte {
		c.t.Helper()
		auth := nativeResponse(c.salt, password)
		if plugin != pluginNative {
			auth = []byte("whatever")
		}
		body := append([]byte(user), 0, byte(len(auth)))
		body = append(body, auth...)
		body = append(append(body, db...), 0, 45, 0)
		c.send(comChangeUser, append(append(body, plugin...), 0)...)
		payload := c.packet()
		if payload[0] == headEOF {
			s, err := parseAuthSwitch(payload)
			if err != nil {
				c.t.Fatal(err)
			}
			if err := c.l.write(appendPacket(nil, 3, nativeResponse(s.salt, password))); err != nil {
				c.t.Fatal(err)
			}
			payload = c.packet()
		}
		return payload
	}
	for _, plugin := range []string{pluginNative, "caching_sha2_password"} {
		c := raw(t, p.addr, rawCaps)
		c.salt = p.saltOf(c.id)
		c.must("SET @x=5, autocommit=0")
		c.must("CREATE OR REPLACE TABLE changes (a INT)")
		c.must("INSERT INTO changes VALUES (1)")
		c.mustOK(parseOK(login(c, "second", "2nd", "mysql", plugin)))
		if got := c.value("SELECT CONCAT_WS('|', @x, @@autocommit+0, DATABASE())"); got != "1|mysql" {
			t.Errorf("after the change: %s", got)
		}
		if n := p.gate.InFlight(); n != 0 {
			t.Errorf("%d in flight", n)
		}
		if e, err := parseERR(login(c, "second", "wrong", "mysql", plugin)); err != nil || e.Code != codeAccessDenied {
			t.Errorf("wrong password: %v %v", e, err)
		}
		c.dropped()
	}
	c := raw(t, p.addr, rawCaps)
	c.salt = p.saltOf(c.id)
	if e, err := parseERR(login(c, "second", "2nd", "no_such_db", pluginNative)); err != nil || e.Code != 1049 {
		t.Errorf("unknown database: %v %v", e, err)
	}
}

// saltOf returns the challenge that a connection was greeted with.
func (p *testProxy) saltOf(id uint32) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions[id].salt
}

func TestSessionTrackingIsRelayed(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	c := raw(t, p.addr, rawCaps|capSessionTrack)
	c.send(comQuery, []byte("USE mysql")...)
	if payload := c.packet(); !bytes.HasSuffix(payload, []byte("\x01\x06\x05mysql")) {
		t.Errorf("the new schema is not tracked: %q", payload)
	}
	if got := c.value("SELECT DATABASE()"); got != "mysql" {
		t.Error(got)
	}
	plain := p.conn(t, func(cfg *driver.Config) { cfg.DBName = "" })
	mustExec(t, plain, "USE mysql")
}
