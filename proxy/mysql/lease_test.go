package mysql

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/proxy/gate"
	"github.com/zerokeeper/zero/transport/lease"
)

// forever is the end of a lease that no test sees.
const forever = lease.Instant(math.MaxInt64)

// leaseFor opens the gate of a fresh proxy for a while.
func leaseFor(t *testing.T, p *testProxy, addr string, d time.Duration) gate.Primary {
	t.Helper()
	p.gen++
	primary := gate.Primary{Address: addr, Generation: p.gen}
	if err := p.gate.Open(primary, lease.Now().Add(d)); err != nil {
		t.Fatal(err)
	}
	return primary
}

// grantAgain is a new lease.
func (p *testProxy) grantAgain(t *testing.T, primary gate.Primary) {
	t.Helper()
	if err := p.gate.Open(primary, lease.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
}

// over waits until the gate has noticed that its lease is.
func (p *testProxy) over(t *testing.T) {
	t.Helper()
	eventually(t, "the lease ends", func() bool { _, open, _ := p.gate.Current(); return !open })
}

const short = 300 * time.Millisecond

// TestWritesWaitForALease: who writes without one waits, and sees no error when the next one comes in time.
func TestWritesWaitForALease(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, "")
	primary := leaseFor(t, p, a.addr, short)
	c := raw(t, p.addr, rawCaps)
	c.must("CREATE OR REPLACE TABLE leased (a INT)")
	id, _, _ := c.prepare("INSERT INTO leased VALUES (2)")
	p.over(t)
	c.must("SELECT 1") // reads go on
	text := raw(t, p.addr, rawCaps)
	for _, send := range []func(){
		func() { text.send(comQuery, []byte("INSERT INTO leased VALUES (1)")...) },
		func() { c.send(comStmtExecute, append(u32(id), 0, 1, 0, 0, 0)...) },
	} {
		send()
	}
	eventually(t, "both are held", func() bool { n, _ := p.gate.Held(); return n == 2 })
	if n := a.scalar(t, "SELECT COUNT(*) FROM shop.leased"); n != "0" {
		t.Fatalf("%s rows were written without a lease", n)
	}
	p.grantAgain(t, primary)
	for _, c := range []*rawClient{c, text} {
		if r := c.result(); r.err != nil {
			t.Fatal(r.err)
		}
	}
	if n := a.scalar(t, "SELECT COUNT(*) FROM shop.leased"); n != "2" {
		t.Errorf("%s rows", n)
	}
	if st := p.Stats(); st.Errors != 0 {
		t.Errorf("%d errors", st.Errors)
	}
}

// TestTransactionEndsWithTheLease (R12d): its connection is closed and the client is told, at its next command, that it
// was rolled back.
func TestTransactionEndsWithTheLease(t *testing.T) {
	if !leases {
		t.Skip("in this build it goes on")
	}
	a, _ := servers(t)
	for _, next := range []string{"INSERT INTO ended VALUES (2)", "COMMIT", "ping", "execute"} {
		t.Run(next, func(t *testing.T) {
			p := newProxy(t, "")
			primary := leaseFor(t, p, a.addr, short)
			c := raw(t, p.addr, rawCaps)
			c.must("CREATE OR REPLACE TABLE ended (a INT)")
			id, _, _ := c.prepare("INSERT INTO ended VALUES (3)")
			c.must("BEGIN")
			c.must("INSERT INTO ended VALUES (1)")
			eventually(t, "nothing is in flight", func() bool { return p.gate.InFlight() == 0 })
			if _, open, _ := p.gate.Current(); open {
				t.Fatal("the lease lives")
			}
			p.grantAgain(t, primary)
			switch next {
			case "ping":
				c.send(comPing)
			case "execute":
				c.send(comStmtExecute, append(u32(id), 0, 1, 0, 0, 0)...)
			default:
				c.send(comQuery, []byte(next)...)
			}
			if r := c.result(); r.err == nil || r.err.Code != codeConnectionKilled || !strings.Contains(r.err.Message, "lease ended") {
				t.Fatalf("told %+v", r)
			}
			c.dropped()
			eventually(t, "the server connection is closed", func() bool {
				return a.scalar(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = ?", testUser) == "0"
			})
			if n := a.scalar(t, "SELECT COUNT(*) FROM shop.ended"); n != "0" {
				t.Errorf("%s rows", n)
			}
		})
	}
}

// TestRenewedInTime: a lease that is renewed before it ends is noticed by nobody.
func TestRenewedInTime(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, "")
	primary := leaseFor(t, p, a.addr, short)
	c := raw(t, p.addr, rawCaps)
	c.must("CREATE OR REPLACE TABLE renewed (a INT)")
	c.must("BEGIN")
	c.must("INSERT INTO renewed VALUES (1)")
	p.grantAgain(t, primary)
	until := lease.Now().Add(short)
	eventually(t, "the first lease would be over", func() bool { return lease.Now() > until })
	c.must("INSERT INTO renewed VALUES (2)")
	c.must("COMMIT")
	if st := p.Stats(); st.Errors != 0 || st.Kept != 0 {
		t.Errorf("%+v", st)
	}
}

// TestOKIsKept (R12c): an OK that comes when the lease is over waits. A lease of the same primary lets it go; another
// primary, another reign of the same one, or the hold timeout makes its outcome unknown.
func TestOKIsKept(t *testing.T) {
	if !leases {
		t.Skip("this build does not check")
	}
	for _, what := range []string{"write", "commit"} {
		for _, test := range []struct {
			name string
			do   func(p *testProxy, primary gate.Primary) error
			ok   bool
		}{
			{"renewed", func(p *testProxy, primary gate.Primary) error {
				return p.gate.Open(primary, lease.Now().Add(time.Minute))
			}, true},
			{"another primary", func(p *testProxy, primary gate.Primary) error {
				return p.gate.Open(gate.Primary{Address: "127.0.0.1:1", Generation: primary.Generation + 1}, lease.Now().Add(time.Minute))
			}, false},
			{"another reign", func(p *testProxy, primary gate.Primary) error {
				primary.Generation++
				return p.gate.Open(primary, lease.Now().Add(time.Minute))
			}, false},
			{"timeout", func(p *testProxy, _ gate.Primary) error { return nil }, false},
			{"severed", func(p *testProxy, _ gate.Primary) error { p.gate.Sever(); return nil }, false},
		} {
			t.Run(what+" "+test.name, func(t *testing.T) {
				end := make(chan struct{}) // the lease is over: the answer may come
				answer := appendPacket(nil, 1, appendOK(nil, statusAutocommit))
				f := (&fakeServer{answer: func(_ int, cmd []byte) ([]byte, bool) {
					switch string(cmd[1:]) {
					case "BEGIN":
						return appendPacket(nil, 1, appendOK(nil, statusAutocommit|statusInTrans)), false
					case "COMMIT", "INSERT INTO t VALUES (1)":
						<-end
					}
					return answer, false
				}}).start(t)
				p := newProxy(t, "")
				if test.name == "timeout" {
					if err := p.gate.Configure(gateConfig(200)); err != nil {
						t.Fatal(err)
					}
				}
				primary := leaseFor(t, p, f.addr, short)
				c := raw(t, p.addr, rawCaps&^capConnectWithDB)
				query := "INSERT INTO t VALUES (1)"
				if what == "commit" {
					c.must("BEGIN")
					query = "COMMIT"
				}
				c.send(comQuery, []byte(query)...)
				eventually(t, "it was sent", func() bool { return strings.Contains(f.seen(), query) })
				// The answer comes to a proxy that was paused: it is there when the lease's end is noticed.
				s := p.session(c.id)
				s.mu.Lock()
				time.Sleep(short) // the thing tested: nobody notices that the lease ends
				sent := f.answered.Load() + 1
				close(end)
				eventually(t, "the answer is there", func() bool { return f.answered.Load() == sent })
				s.mu.Unlock()
				eventually(t, "it is kept", func() bool { return p.Stats().Kept == 1 })
				if n := p.gate.InFlight(); n != 1 {
					t.Errorf("%d in flight", n)
				}
				if err := test.do(p, primary); err != nil {
					t.Fatal(err)
				}
				r := c.result()
				if !test.ok {
					if r.err == nil || r.err.Code != codeOutcomeUnknown {
						t.Fatalf("told %+v", r)
					}
					c.dropped()
				} else if r.err != nil {
					t.Fatal(r.err)
				}
				eventually(t, "nothing is in flight", func() bool { return p.gate.InFlight() == 0 })
				if n := strings.Count(f.seen(), query); n != 1 {
					t.Errorf("it was sent %d times", n)
				}
				if test.ok { // and the session goes on
					c.must("INSERT INTO t VALUES (2)")
				}
			})
		}
	}
}

// TestRunningWriteEndsWithTheLease (R12d): its connection is closed, its outcome is unknown, and it is not sent again.
func TestRunningWriteEndsWithTheLease(t *testing.T) {
	if !leases {
		t.Skip("in this build it goes on")
	}
	a, _ := servers(t)
	for _, test := range []struct {
		name, before, query string
		code                uint16
	}{
		{"write", "", "INSERT INTO running SELECT SLEEP(20)", codeOutcomeUnknown},
		{"write in a transaction", "BEGIN", "INSERT INTO running SELECT SLEEP(20)", codeConnectionKilled},
		{"read in a transaction", "BEGIN", "SELECT a, SLEEP(20) FROM running", codeConnectionKilled},
	} {
		t.Run(test.name, func(t *testing.T) {
			a.exec(t, "CREATE OR REPLACE TABLE shop.running (a INT)")
			p := newProxy(t, "")
			primary := leaseFor(t, p, a.addr, short)
			c := raw(t, p.addr, rawCaps)
			if test.before != "" {
				c.must(test.before)
				c.must("INSERT INTO running VALUES (1)")
			}
			id := c.value("SELECT CONNECTION_ID()")
			c.send(comQuery, []byte(test.query)...)
			begin := time.Now()
			if r := c.result(); r.err == nil || r.err.Code != test.code || !strings.Contains(r.err.Message, "lease ended") {
				t.Fatalf("told %+v", r)
			}
			if d := time.Since(begin); d > 5*time.Second {
				t.Errorf("told after %v", d)
			}
			c.dropped()
			eventually(t, "nothing is in flight", func() bool { return p.gate.InFlight() == 0 })
			p.grantAgain(t, primary)
			_, _ = a.root.Exec("KILL " + id) // it may have noticed by itself
		})
	}
}

// TestLoadDataEndsWithTheLease: rules R12b and R12d, for a file that is being sent, by a client that goes on and by one
// that takes its time.
func TestLoadDataEndsWithTheLease(t *testing.T) {
	if !leases {
		t.Skip("in this build it goes on")
	}
	a, _ := servers(t)
	for _, slow := range []bool{false, true} {
		p := newProxy(t, "")
		primary := leaseFor(t, p, a.addr, short)
		c := raw(t, p.addr, rawCaps)
		c.must("CREATE OR REPLACE TABLE chunked (a INT)")
		c.send(comQuery, []byte("LOAD DATA LOCAL INFILE 'x' INTO TABLE chunked")...)
		if payload := c.packet(); payload[0] != headLocalInfile {
			t.Fatalf("got % x", payload)
		}
		if err := c.l.write(appendPacket(nil, 2, []byte("1\n"))); err != nil {
			t.Fatal(err)
		}
		if !slow {
			p.over(t)
			_ = c.l.write(appendPacket(nil, 3, nil)) // the proxy may have closed by now
		}
		if r := c.result(); r.err == nil || r.err.Code != codeOutcomeUnknown {
			t.Fatalf("slow %v: told %+v", slow, r)
		}
		eventually(t, "nothing is in flight", func() bool { return p.gate.InFlight() == 0 })
		p.grantAgain(t, primary)
		if n := a.scalar(t, "SELECT COUNT(*) FROM shop.chunked"); n != "0" {
			t.Errorf("slow %v: %s rows were loaded after the lease", slow, n)
		}
	}
}

// TestLeaseEndsBeforeTheSending: what was admitted and not sent waits for the next lease, on the connection that it has.
func TestLeaseEndsBeforeTheSending(t *testing.T) {
	s, b, _ := fuzzSession(nil, rawCaps)
	s.backend = b
	x := &exchange{cmd: &command{}, info: infoWrite}
	if again, err := s.failed(b, x, errLeaseOver); !again || err != nil || s.backend != b {
		t.Errorf("again %v, %v, backend %v", again, err, s.backend)
	}
	if why := failureReason(errLeaseOver, stopNone, nil); why != errLeaseOver.Error() {
		t.Error(why)
	}
}
