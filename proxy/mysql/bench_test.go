package mysql

import (
	"net"
	"testing"
)

// BenchmarkWrite is one INSERT through the proxy to a server that answers at once, from a client on the same machine.
func BenchmarkWrite(b *testing.B) { benchmarkQuery(b, "INSERT INTO t VALUES (1)") }

// BenchmarkRead is a SELECT.
func BenchmarkRead(b *testing.B) { benchmarkQuery(b, "SELECT 1") }

func benchmarkQuery(b *testing.B, query string) {
	f := (&fakeServer{}).start(b)
	p := newProxy(b, f.addr)
	nc, _, err := Dialer{}.dial(b.Context(), p.addr, loginParams{user: testUser, password: testPassword, collation: 45, maxPacket: 1 << 24})
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	packet := appendPacket(nil, 0, append([]byte{comQuery}, query...))
	roundTrip(b, nc, packet)
	b.ReportAllocs()
	for b.Loop() {
		roundTrip(b, nc, packet)
	}
}

func roundTrip(b *testing.B, nc net.Conn, packet []byte) {
	var answer [64]byte
	if _, err := nc.Write(packet); err != nil {
		b.Fatal(err)
	}
	if n, err := nc.Read(answer[:]); err != nil || n < 5 || answer[4] != headOK {
		b.Fatalf("%d %v % x", n, err, answer[:n])
	}
}
