package netns

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// ipv4 makes a packet with a body.
func ipv4(proto byte, options int, fragment uint16, body []byte) []byte {
	b := make([]byte, minIPv4+options, minIPv4+options+len(body))
	b[0] = 4<<4 | byte(len(b)/4)
	binary.BigEndian.PutUint16(b[2:], uint16(cap(b)))
	binary.BigEndian.PutUint16(b[6:], fragment)
	b[9] = proto
	copy(b[12:], []byte{10, 77, 0, 1, 10, 77, 0, 2})
	return append(b, body...)
}

// tcp makes a segment with a right checksum.
func tcp(options int, data string) []byte {
	s := make([]byte, minTCP+options, minTCP+options+len(data))
	s[12] = byte(len(s) / 4 << 4)
	s = append(s, data...)
	p := packet(ipv4(protoTCP, 0, 0, s))
	binary.BigEndian.PutUint16(s[tcpChecksum:], p.checksum(s))
	return s
}

func TestParsePacket(t *testing.T) {
	good := ipv4(17, 4, 0, []byte("body"))
	for _, tt := range []struct {
		name string
		b    []byte
		size int // of the packet; 0 is none
	}{
		{"good", good, len(good)},
		{"padded", append(bytes.Clone(good), 0, 0), len(good)},
		{"without a body", ipv4(17, 0, 0, nil), minIPv4},
		{"empty", nil, 0},
		{"cut in the header", good[:19], 0},
		{"cut in the body", good[:len(good)-1], 0},
		{"IPv6", append([]byte{0x60}, good[1:]...), 0},
		{"header too short", append([]byte{0x44}, good[1:]...), 0},
		{"header longer than all", append([]byte{0x4f}, good[1:]...), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, ok := parsePacket(tt.b)
			if ok != (tt.size > 0) || len(p) != tt.size {
				t.Errorf("got %d bytes, %t, want %d", len(p), ok, tt.size)
			}
			if ok && p.destination() != netip.AddrFrom4([4]byte{10, 77, 0, 2}) {
				t.Errorf("destination %s", p.destination())
			}
		})
	}
}

func TestCorruptPacket(t *testing.T) {
	for _, tt := range []struct {
		name     string
		b        []byte
		from, to int  // what may change; nothing if equal
		repaired bool // with repair
	}{
		{"TCP data", ipv4(protoTCP, 0, 0, tcp(0, "data")), 40, 44, true},
		{"TCP data of odd length, with options", ipv4(protoTCP, 8, 0, tcp(12, "odd")), 60, 63, true},
		{"TCP without data", ipv4(protoTCP, 0, 0, tcp(0, "")), 20, 40, false},
		{"first fragment", ipv4(protoTCP, 0, 0x2000, tcp(0, "data")), 20, 44, false},
		{"other fragment", ipv4(protoTCP, 0, 5, tcp(0, "data")), 20, 44, false},
		{"UDP", ipv4(17, 0, 0, []byte("12345678data")), 20, 32, false},
		{"TCP header cut", ipv4(protoTCP, 0, 0, tcp(0, "")[:19]), 20, 39, false},
		{"nothing", ipv4(17, 0, 0, nil), 20, 20, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(50) {
				for _, repair := range []bool{false, true} {
					b := bytes.Clone(tt.b)
					p, ok := parsePacket(b)
					if !ok {
						t.Fatal("no packet")
					}
					if did := p.corrupt(rand.New(rand.NewPCG(seed, 0)).IntN, repair); did != (tt.from < tt.to) {
						t.Fatalf("changed: %t", did)
					}
					right := false
					if segment, _ := p.tcp(); segment != nil {
						right = p.checksum(segment) == 0
						if repair && tt.repaired {
							sum := tt.b[len(b)-len(segment)+tcpChecksum:][:2]
							copy(segment[tcpChecksum:], sum) // it may differ
						}
					}
					changed := 0
					for i := range b {
						if b[i] == tt.b[i] {
							continue
						}
						changed++
						if i < tt.from || i >= tt.to {
							t.Errorf("byte %d changed, want one of %d to %d", i, tt.from, tt.to-1)
						}
					}
					if tt.from < tt.to && changed != 1 {
						t.Errorf("%d bytes changed", changed)
					}
					if right != (repair && tt.repaired) && tt.from < tt.to {
						t.Errorf("with repair %t the checksum is right: %t", repair, right)
					}
				}
			}
		})
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(ipv4(protoTCP, 0, 0, tcp(0, "data")), uint64(1), true)
	f.Add(ipv4(protoTCP, 8, 0, tcp(12, "odd")), uint64(2), true)
	f.Add(ipv4(protoTCP, 0, 5, tcp(0, "data")), uint64(3), false)
	f.Add(ipv4(17, 0, 0, []byte("12345678data")), uint64(4), true)
	f.Add([]byte{0x45, 0, 0, 20}, uint64(5), false)
	f.Fuzz(func(t *testing.T, b []byte, seed uint64, repair bool) {
		p, ok := parsePacket(bytes.Clone(b)) // what fuzzing gives must not be changed
		if !ok {
			return
		}
		before := bytes.Clone(p)
		_, data := packet(before).tcp() // the header may be what changes
		did := p.corrupt(rand.New(rand.NewPCG(seed, 0)).IntN, repair)
		if did == bytes.Equal(p, before) {
			t.Errorf("says %t: %x became %x", did, before, p)
		}
		header := int(p[0]&15) * 4
		if !bytes.Equal(p[:header], before[:header]) {
			t.Errorf("the IP header changed: %x became %x", before, p)
		}
		if did && repair && len(data) > 0 && p.checksum(p.body()) != 0 {
			t.Errorf("the checksum is not right after repair: %x", p)
		}
	})
}
