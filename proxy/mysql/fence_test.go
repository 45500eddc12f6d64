package mysql

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestFencedPrimary: a write that a read-only primary refuses waits until it is writable again, or replaced. In a
// transaction, and in the end, the client is told.
func TestFencedPrimary(t *testing.T) {
	a, b := servers(t)
	for _, s := range []*mariadb{a, b} {
		s.exec(t, "CREATE OR REPLACE TABLE shop.fenced (a VARCHAR(100))")
	}
	t.Cleanup(func() { a.exec(t, "SET GLOBAL read_only=0") })
	p := newProxy(t, a.addr)
	c, other := p.conn(t), raw(t, p.addr, rawCaps)
	insert, err := c.PrepareContext(t.Context(), "INSERT INTO fenced VALUES (?)")
	if err != nil {
		t.Fatal(err)
	}
	id, _, _ := other.prepare("INSERT INTO fenced VALUES (?)")
	for _, unfence := range []func(){
		func() { a.exec(t, "SET GLOBAL read_only=0") },
		func() { p.moveTo(t, b.addr) },
	} {
		a.exec(t, "SET GLOBAL read_only=1")
		retries := p.Stats().Retries
		done := make(chan error, 1)
		go func() { _, err := insert.ExecContext(context.Background(), "one"); done <- err }()
		other.send(comStmtSendLongData, append(u32(id), 0, 0, 'l', 'o', 'n', 'g')...)
		other.send(comStmtExecute, append(u32(id), 0, 1, 0, 0, 0, 0, 1, 0xfd, 0)...)
		eventually(t, "both were refused twice", func() bool { return p.Stats().Retries >= retries+4 })
		unfence()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if r := other.result(); r.err != nil {
			t.Fatal(r.err)
		}
	}
	for _, s := range []*mariadb{a, b} {
		if got := s.scalar(t, "SELECT GROUP_CONCAT(a ORDER BY a) FROM shop.fenced"); got != "long,one" {
			t.Errorf("%s", got)
		}
	}
	p = newProxy(t, a.addr, func(cfg *Config) { cfg.BackendWait = 100 * time.Millisecond })
	d := raw(t, p.addr, rawCaps)
	for _, query := range []string{"INSERT INTO fenced VALUES (2)", "CREATE TABLE fenced2 (a INT)", "BEGIN; INSERT INTO fenced VALUES (3)"} {
		var r rawResult
		for _, q := range strings.Split(query, "; ") {
			r = d.query(q)
		}
		if r.err == nil || r.err.Code != codeReadOnly || !strings.Contains(r.err.Message, "read-only") {
			t.Errorf("%s: %+v", query, r)
		}
	}
}

// TestPrimaryIsKilled: of clients that retry nothing only what was in flight fails, until the next primary is there.
func TestPrimaryIsKilled(t *testing.T) {
	a, b := servers(t)
	for _, s := range []*mariadb{a, b} {
		s.exec(t, "SET GLOBAL read_only=0; CREATE OR REPLACE TABLE shop.killed (a INT)")
	}
	relay := newCutter(t, a.addr)
	p := newProxy(t, relay.addr)
	idle, inTx, running := raw(t, p.addr, rawCaps), raw(t, p.addr, rawCaps), raw(t, p.addr, rawCaps)
	idle.must("INSERT INTO killed VALUES (1)")
	inTx.must("BEGIN")
	inTx.must("INSERT INTO killed VALUES (2)")
	id := running.value("SELECT CONNECTION_ID()")
	t.Cleanup(func() { _, _ = a.root.Exec("KILL " + id) }) // the server may not have noticed, and others wait to fence it
	running.send(comQuery, []byte("INSERT INTO killed SELECT SLEEP(5)")...)
	eventually(t, "the write runs", func() bool {
		return a.scalar(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO killed SELECT%'") == "1"
	})
	relay.kill()
	if r := running.result(); r.err == nil || r.err.Code != codeOutcomeUnknown {
		t.Errorf("the running write was told %+v", r)
	}
	eventually(t, "nothing is in flight", func() bool { return p.gate.InFlight() == 0 })
	idle.send(comQuery, []byte("INSERT INTO killed VALUES (3)")...)
	fresh := raw(t, p.addr, rawCaps)
	fresh.send(comQuery, []byte("INSERT INTO killed VALUES (4)")...)
	inTx.send(comQuery, []byte("COMMIT")...)
	if r := inTx.result(); r.err == nil || r.err.Code != codeConnectionKilled || !strings.Contains(r.err.Message, "rolled back") {
		t.Errorf("the transaction was told %+v", r)
	}
	p.moveTo(t, b.addr)
	for _, c := range []*rawClient{idle, fresh} {
		if r := c.result(); r.err != nil {
			t.Error(r.err)
		}
	}
	if got := b.scalar(t, "SELECT GROUP_CONCAT(a ORDER BY a) FROM shop.killed"); got != "3,4" {
		t.Errorf("the new primary has %s", got)
	}
}
