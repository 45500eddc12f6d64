package mysql

import (
	"strings"
	"testing"

	"github.com/zerokeeper/zero/proxy/gate"
)

// TestOKOfAReplacedPrimaryIsNotRelayed: rule R12c. The answer of a write came from a server that the gate no longer
// names as primary: the client must not take it for acknowledged.
func TestOKOfAReplacedPrimaryIsNotRelayed(t *testing.T) {
	a, b := servers(t)
	for _, mode := range []string{"autocommit", "commit", "rows"} {
		t.Run(mode, func(t *testing.T) {
			p := newProxy(t, a.addr)
			c := raw(t, p.addr, rawCaps)
			c.must("CREATE OR REPLACE TABLE replaced (id INT AUTO_INCREMENT PRIMARY KEY, a INT)")
			query := "INSERT INTO replaced (a) SELECT SLEEP(0.3)"
			switch mode {
			case "commit":
				c.must("BEGIN")
			case "rows":
				query = "INSERT INTO replaced (a) SELECT SLEEP(0.3) RETURNING id"
			}
			c.send(comQuery, []byte(query)...)
			eventually(t, "the write runs", func() bool {
				return a.scalar(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO replaced%'") == "1"
			})
			if mode == "commit" {
				if r := c.result(); r.err != nil {
					t.Fatal(r.err)
				}
			}
			p.gate.Hold()
			if err := p.gate.SetPrimary(gate.Primary{Address: b.addr, Generation: 9}); err != nil {
				t.Fatal(err)
			}
			if mode == "commit" {
				c.send(comQuery, []byte("COMMIT")...)
			}
			code, want := uint16(codeOutcomeUnknown), "outcome unknown"
			if mode == "commit" { // it was not even sent
				code, want = codeConnectionKilled, "rolled back"
			}
			r := c.result()
			if r.err == nil || r.err.Code != code || !strings.Contains(r.err.Message, want) {
				t.Fatalf("the client was told %+v, want %q", r, want)
			}
			c.dropped()
			eventually(t, "nothing in flight", func() bool { return p.gate.InFlight() == 0 })
			eventually(t, "the server is done with it", func() bool {
				return a.scalar(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO replaced%'") == "0"
			})
			if n := a.scalar(t, "SELECT COUNT(*) FROM shop.replaced"); mode == "commit" && n != "0" {
				t.Errorf("%s rows: a COMMIT went to a server that is no longer the primary", n)
			}
		})
	}
}

// TestLoadDataStopsWithItsPrimary: rule R12b, for the chunks of LOAD DATA LOCAL.
func TestLoadDataStopsWithItsPrimary(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr)
	c := raw(t, p.addr, rawCaps)
	c.must("CREATE OR REPLACE TABLE chunks (a INT)")
	c.send(comQuery, []byte("LOAD DATA LOCAL INFILE 'x' INTO TABLE chunks")...)
	if payload := c.packet(); payload[0] != headLocalInfile {
		t.Fatalf("got % x", payload)
	}
	chunk := func(seq byte, data string) {
		t.Helper()
		if err := c.l.write(appendPacket(nil, seq, []byte(data))); err != nil {
			t.Fatal(err)
		}
	}
	chunk(2, "1\n")
	p.gate.Hold()
	if err := p.gate.SetPrimary(gate.Primary{Address: b.addr, Generation: 9}); err != nil {
		t.Fatal(err)
	}
	chunk(3, "")
	if r := c.result(); r.err == nil || !strings.Contains(r.err.Message, "outcome unknown") {
		t.Fatalf("told %+v", r)
	}
	eventually(t, "nothing in flight", func() bool { return p.gate.InFlight() == 0 })
	if n := a.scalar(t, "SELECT COUNT(*) FROM shop.chunks"); n != "0" {
		t.Errorf("%s rows were loaded into a server that is no longer the primary", n)
	}
}

// TestHeldWriteOfAGoneClientIsNotExecuted: nobody waits for it any more, and nothing of it was sent.
func TestHeldWriteOfAGoneClientIsNotExecuted(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	c := raw(t, p.addr, rawCaps)
	c.must("CREATE OR REPLACE TABLE gone (a INT)")
	p.gate.Hold()
	c.send(comQuery, []byte("INSERT INTO gone VALUES (1)")...)
	eventually(t, "held", func() bool { n, _ := p.gate.Held(); return n == 1 })
	c.l.nc.Close()
	primary, _, _ := p.gate.Current()
	if err := p.gate.Open(primary, forever); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session ends", func() bool { return p.Stats().Connections == 0 })
	if n := a.scalar(t, "SELECT COUNT(*) FROM shop.gone"); n != "0" {
		t.Errorf("%s rows", n)
	}
}

// TestPrewarm: the connection to the new primary is opened while the session is held, and given up again when the
// switch is rolled back.
func TestPrewarm(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr)
	c := raw(t, p.addr, rawCaps)
	c.must("SET @x = 4")
	on := func(s *mariadb) string {
		return s.scalar(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = ?", testUser)
	}
	old, _, _ := p.gate.Current()
	p.gate.Hold()
	c.send(comQuery, []byte("SELECT CONCAT(@x, '-', @@port) FOR UPDATE")...)
	eventually(t, "held", func() bool { n, _ := p.gate.Held(); return n == 1 })
	if err := p.gate.SetPrimary(gate.Primary{Address: b.addr, Generation: 9}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connected to the new primary before it is opened", func() bool { return on(b) == "1" })
	if err := p.gate.Open(old, forever); err != nil { // rolled back
		t.Fatal(err)
	}
	if r := c.result(); r.err != nil || len(r.rows) != 1 || string(splitRow(r.rows[0])[0]) != "4-"+port(a) {
		t.Fatalf("after the roll-back: %+v", r)
	}
	eventually(t, "the other connection is given up", func() bool { return on(b) == "0" })
	if st := p.Stats(); st.Moves != 0 {
		t.Errorf("%d moves", st.Moves)
	}
}
