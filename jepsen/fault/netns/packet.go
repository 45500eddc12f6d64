package netns

import (
	"encoding/binary"
	"net/netip"
)

// Of the IPv4 header (RFC 791) and TCP's (RFC 9293).
const (
	minIPv4, minTCP = 20, 20
	protoTCP        = 6
	tcpChecksum     = 16 // its offset in the TCP header
)

// packet is an IPv4 packet with a whole header.
type packet []byte

// parsePacket checks that b is an IPv4 packet, and cuts off what follows it.
func parsePacket(b []byte) (packet, bool) {
	if len(b) < minIPv4 || b[0]>>4 != 4 {
		return nil, false
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < minIPv4 || total < header || total > len(b) {
		return nil, false
	}
	return packet(b[:total]), true
}

func (p packet) destination() netip.Addr { return netip.AddrFrom4([4]byte(p[16:20])) }

// body is what follows the IPv4 header.
func (p packet) body() []byte { return p[int(p[0]&15)*4:] }

// tcp is the whole TCP segment and the part of it that programs sent; both are nil if the packet is none, or only a fragment.
func (p packet) tcp() (segment, data []byte) {
	const offsetAndMore = 0x3fff // fragment offset and the flag of more fragments
	body := p.body()
	if p[9] != protoTCP || binary.BigEndian.Uint16(p[6:])&offsetAndMore != 0 || len(body) < minTCP {
		return nil, nil
	}
	header := int(body[12]>>4) * 4
	if header < minTCP || header > len(body) {
		return nil, nil
	}
	return body, body[header:]
}

// corrupt changes one byte: of what programs sent in a TCP segment, or of the IP body where there is none. draw(n) is a
// number below n. With repair the TCP checksum is made right again, if what was changed is data of a program. It tells
// whether there was anything to change.
func (p packet) corrupt(draw func(n int) int, repair bool) bool {
	segment, target := p.tcp()
	if len(target) == 0 {
		segment, target = nil, p.body()
	}
	if len(target) == 0 {
		return false
	}
	target[draw(len(target))] ^= byte(1 + draw(255))
	if repair && segment != nil {
		binary.BigEndian.PutUint16(segment[tcpChecksum:], 0)
		binary.BigEndian.PutUint16(segment[tcpChecksum:], p.checksum(segment))
	}
	return true
}

// checksum is that of a TCP segment with its pseudo header. Over a segment whose checksum is right it is 0.
func (p packet) checksum(segment []byte) uint16 {
	sum := uint32(protoTCP) + uint32(len(segment))
	for _, part := range [][]byte{p[12:20], segment} {
		for ; len(part) > 1; part = part[2:] {
			sum += uint32(binary.BigEndian.Uint16(part))
		}
		if len(part) == 1 { // only the segment can have an odd length, and it is the last
			sum += uint32(part[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
