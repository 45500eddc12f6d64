// Package codec writes Go structs as bytes, the same bytes for the same value
// on every machine, and reads them back strictly.
//
// # Layout
//
//	bool                 u8 0 or 1
//	uint8…uint64         unsigned varint
//	int…int64            zig-zag varint
//	string, []byte       unsigned varint length, bytes
//	slice                unsigned varint count, elements
//	struct               unsigned varint count of fields, the fields in order
//
// Nothing else can be encoded: maps have no order, pointers no identity and
// floats several zeros.
//
// # Change
//
// Fields are append-only. A struct with fewer fields than the reader knows was
// written by an older program: the missing ones are zero. One with more was
// written by a newer one: ErrUnknownField, because a reader that drops what it
// does not know has silently decided to differ.
//
// # Bounds
//
// Every length is checked against the bytes that are left before anything is
// allocated, so that decoding costs at most a small multiple of the input.
package codec
