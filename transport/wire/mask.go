package wire

import (
	"encoding/binary"
	"math/rand/v2"
)

// Mask is a frame's four mask bytes in the order of the wire.
type Mask [4]byte

// RandomMask draws a mask. It is no secret, so a cheap source will do.
func RandomMask() Mask {
	var m Mask
	binary.LittleEndian.PutUint32(m[:], rand.Uint32())
	return m
}

// maskInPlace masks plain in place and returns the checksum of what it was.
func maskInPlace(b []byte, m Mask) (checksum byte) {
	word, wide := m.words()
	var sum uint64
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		sum ^= x
		binary.LittleEndian.PutUint64(b, x^wide)
		b = b[8:]
	}
	return fold(sum) ^ tail(b, word, false)
}

// unmaskInPlace is the way back; the checksum is that of the result.
func unmaskInPlace(b []byte, m Mask) (checksum byte) {
	word, wide := m.words()
	var sum uint64
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b) ^ wide
		sum ^= x
		binary.LittleEndian.PutUint64(b, x)
		b = b[8:]
	}
	return fold(sum) ^ tail(b, word, true)
}

// words is the mask as one and as two 4-byte words.
func (m Mask) words() (word uint32, wide uint64) {
	word = binary.LittleEndian.Uint32(m[:])
	return word, uint64(word)<<32 | uint64(word)
}

// fold is the XOR of the eight bytes of sum.
func fold(sum uint64) byte {
	sum ^= sum >> 32
	sum ^= sum >> 16
	sum ^= sum >> 8
	return byte(sum)
}

// tail masks the last bytes, fewer than eight. It begins at a multiple of four,
// so the mask starts over with its first byte.
func tail(b []byte, word uint32, sumAfter bool) (sum byte) {
	for i := range b {
		before := b[i]
		b[i] ^= byte(word >> (8 * (i & 3)))
		if sumAfter {
			sum ^= b[i]
		} else {
			sum ^= before
		}
	}
	return sum
}
