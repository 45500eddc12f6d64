package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func TestEdgeFrames(t *testing.T) {
	want := map[string]error{
		"bad_checksum":      ErrChecksum,
		"bad_fixed":         ErrBadFixed,
		"version_2":         ErrBadVersion,
		"version_0":         nil,
		"unknown_op":        nil, // the codec does not judge ops
		"over_limit_header": ErrTooLarge,
		"at_limit_header":   io.ErrUnexpectedEOF,
	}
	for _, f := range loadGolden(t).EdgeFrames {
		t.Run(f.Name, func(t *testing.T) {
			expected, ok := want[f.Name]
			if !ok {
				t.Fatal("an edge frame that this test does not know")
			}
			_, _, err := ReadFrame(bytes.NewReader(unhex(t, f.Hex)), nil)
			if !errors.Is(err, expected) {
				t.Errorf("error is %v, want %v", err, expected)
			}
		})
	}
}

func TestReadFrameEnds(t *testing.T) {
	frame, err := AppendFrame(nil, OpAgent, Mask{1, 2, 3, 4}, []byte("some payload"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range frame {
		_, _, err := ReadFrame(bytes.NewReader(frame[:n]), nil)
		if n == 0 && err != io.EOF || n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %v", n, len(frame), err)
		}
	}
	r := bytes.NewReader(append(frame, frame...))
	for range 2 {
		if _, payload, err := ReadFrame(iotest.OneByteReader(r), make([]byte, 0, 40)); err != nil || string(payload) != "some payload" {
			t.Errorf("payload %q, %v", payload, err)
		}
	}
	if _, _, err := ReadFrame(r, nil); err != io.EOF {
		t.Errorf("after the last frame: %v", err)
	}
}

// largestRead notes how much room a reader was offered at once.
type largestRead struct {
	r    io.Reader
	most int
}

func (l *largestRead) Read(b []byte) (int, error) {
	l.most = max(l.most, len(b))
	return l.r.Read(b)
}

// TestClaimedLengthIsNotAllocated sends headers that claim the maximum, with
// little behind them: the buffer may only grow with what comes.
func TestClaimedLengthIsNotAllocated(t *testing.T) {
	head := append([]byte(Fixed), 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 0)
	for _, behind := range []int{0, 1, firstChunk, 3 * firstChunk} {
		l := &largestRead{r: bytes.NewReader(append(bytes.Clone(head), make([]byte, behind)...))}
		if _, _, err := ReadFrame(l, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
		if most := max(firstChunk, 2*behind); l.most > most {
			t.Errorf("%d bytes came, room for %d was made, at most %d is right", behind, l.most, most)
		}
	}
}

func TestPayloadLimit(t *testing.T) {
	full := bytes.Repeat([]byte{0xa5}, MaxPayload)
	frame, err := AppendFrame(nil, OpTraffic, RandomMask(), full)
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := ReadFrame(bytes.NewReader(frame), nil); err != nil || !bytes.Equal(got, full) {
		t.Errorf("512 KiB: %d bytes, %v", len(got), err)
	}
	if got, err := AppendFrame([]byte("x"), OpTraffic, RandomMask(), append(full, 0)); !errors.Is(err, ErrTooLarge) || string(got) != "x" {
		t.Errorf("one more: %d bytes, %v", len(got), err)
	}
}

// TestMask compares the word-wise masking with its definition.
func TestMask(t *testing.T) {
	for n := range 70 {
		for offset := range 9 { // of the slice in memory
			plain := make([]byte, offset+n)[offset:]
			mask := RandomMask()
			var sum byte
			want := make([]byte, n)
			for i := range plain {
				plain[i] = byte(rand.Uint32())
				sum ^= plain[i]
				want[i] = plain[i] ^ mask[i%4]
			}
			got := append(make([]byte, offset), plain...)[offset:]
			if s := maskInPlace(got, mask); s != sum || !bytes.Equal(got, want) {
				t.Fatalf("masking %d bytes: %x sum %x, want %x sum %x", n, got, s, want, sum)
			}
			if s := unmaskInPlace(got, mask); s != sum || !bytes.Equal(got, plain) {
				t.Fatalf("unmasking %d bytes: %x sum %x, want %x sum %x", n, got, s, plain, sum)
			}
		}
	}
}

func TestReaderBounds(t *testing.T) {
	for _, test := range []struct {
		name    string
		payload []byte
		read    func(*Reader)
		want    error
	}{
		{"no length", []byte{1, 0, 0}, func(r *Reader) { r.Binary() }, ErrShort},
		{"length beyond the end", []byte{2, 0, 0, 0, 'a'}, func(r *Reader) { r.Binary() }, ErrShort},
		{"huge length", []byte{0xff, 0xff, 0xff, 0xff, 'a'}, func(r *Reader) { r.Binary() }, ErrTooLong},
		{"above the limit", []byte{2, 0, 0, 0, 'a', 'b'}, func(r *Reader) { r.BinaryMax(1) }, ErrTooLong},
		{"at the limit", []byte{2, 0, 0, 0, 'a', 'b'}, func(r *Reader) { r.BinaryMax(2) }, nil},
		{"short integer", []byte{1, 2, 3, 4, 5, 6, 7}, func(r *Reader) { r.Int64() }, ErrShort},
		{"nothing after a failure", []byte{1, 2, 3}, func(r *Reader) { r.Uint32(); r.Uint8() }, ErrShort},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewReader(test.payload)
			test.read(r)
			if !errors.Is(r.Err(), test.want) {
				t.Errorf("error is %v, want %v", r.Err(), test.want)
			}
		})
	}
}

func BenchmarkFrame(b *testing.B) {
	payload := make([]byte, 256)
	var frame []byte
	var err error
	buf := make([]byte, 0, 1024)
	r := bytes.NewReader(nil)
	b.ReportAllocs()
	for b.Loop() {
		if frame, err = AppendFrame(frame[:0], OpInvoke, RandomMask(), payload); err != nil {
			b.Fatal(err)
		}
		r.Reset(frame)
		if _, _, err = ReadFrame(r, buf); err != nil {
			b.Fatal(err)
		}
	}
}
