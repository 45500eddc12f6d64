package disk

import (
	"bytes"
	"errors"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// sample is a file of the numbers from 0, and what it holds.
func sample(t *testing.T) (string, []byte) {
	t.Helper()
	var b bytes.Buffer
	for i := range 1000 {
		b.WriteString(strconv.Itoa(i) + "\n")
	}
	path := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(path, b.Bytes(), 0o600))
	return path, b.Bytes()
}

// diff counts the bits in which the file differs from before.
func diff(t *testing.T, path string, before []byte) (n int) {
	t.Helper()
	after, err := os.ReadFile(path)
	must(t, err)
	if len(after) != len(before) {
		t.Fatalf("the file has %d bytes, had %d", len(after), len(before))
	}
	for i := range before {
		n += bits.OnesCount8(before[i] ^ after[i])
	}
	return n
}

func TestFlipBit(t *testing.T) {
	path, before := sample(t)
	did(t)(FlipBit(path, 17, 3))
	if diff(t, path, before) != 1 {
		t.Error("not one bit differs")
	}
	did(t)(FlipBit(path, 17, 3))
	if diff(t, path, before) != 0 {
		t.Error("twice is not as before")
	}
	for name, bad := range map[string]func() (string, error){
		"bit 8":          func() (string, error) { return FlipBit(path, 0, 8) },
		"past the end":   func() (string, error) { return FlipBit(path, int64(len(before)), 0) },
		"before":         func() (string, error) { return FlipBit(path, -1, 0) },
		"no such file":   func() (string, error) { return FlipBit(path+"x", 0, 0) },
		"in no marker":   func() (string, error) { return FlipIn(path, []byte("zz"), First, newRand()) },
		"empty marker":   func() (string, error) { return FlipIn(path, nil, First, newRand()) },
		"no occurrence":  func() (string, error) { return FlipIn(path, []byte("1"), 7, newRand()) },
		"truncate same":  func() (string, error) { return Truncate(path, int64(len(before))) },
		"truncate less":  func() (string, error) { return Truncate(path, -1) },
		"zero nothing":   func() (string, error) { return ZeroRange(path, 0, 0) },
		"zero past end":  func() (string, error) { return ZeroRange(path, 0, int64(len(before))+1) },
		"chunk of same":  func() (string, error) { return OldChunk(path, path, 0, 10) },
		"tree of itself": func() (string, error) { return ReplaceTree(filepath.Dir(path), filepath.Dir(path)) },
		"tree to a full": func() (string, error) { return CopyTree(filepath.Dir(path), filepath.Dir(path)) },
		"tree of none":   func() (string, error) { return CopyTree(t.TempDir(), t.TempDir()) },
	} {
		if what, err := bad(); err == nil {
			t.Errorf("%s: %s", name, what)
		}
	}
	if diff(t, path, before) != 0 {
		t.Error("an error changed the file")
	}
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func TestFlipIn(t *testing.T) {
	for _, tt := range []struct {
		name   string
		which  Occurrence
		bits   int
		first  bool // it is the first "77" that differs
		marker string
	}{
		{name: "first", which: First, bits: 1, first: true, marker: "77"},
		{name: "last", which: Last, bits: 1, marker: "77"},
		{name: "every", which: Every, bits: 19, first: true, marker: "77"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, before := sample(t)
			did(t)(FlipIn(path, []byte(tt.marker), tt.which, newRand()))
			if n := diff(t, path, before); n != tt.bits {
				t.Errorf("%d bits differ, want %d", n, tt.bits)
			}
			after, err := os.ReadFile(path)
			must(t, err)
			i := bytes.Index(before, []byte(tt.marker))
			if changed := !bytes.Equal(after[i:i+2], before[i:i+2]); changed != tt.first {
				t.Errorf("the first occurrence changed: %v, want %v", changed, tt.first)
			}
			again, _ := sample(t)
			did(t)(FlipIn(again, []byte(tt.marker), tt.which, newRand()))
			if diff(t, again, after) != 0 {
				t.Error("the same seed does something else")
			}
		})
	}
}

// TestFind looks at markers that lie across what is read at once.
func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	text := bytes.Repeat([]byte("."), 3*window)
	var want []int64
	for _, at := range []int{0, 100, window - 3, window + 500, 2*window - 12, 2*window - 1, 3*window - 6} {
		copy(text[at:], "marker")
	}
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte("marker"))
		if i < 0 {
			break
		}
		want = append(want, int64(at+i))
		at += i + len("marker")
	}
	must(t, os.WriteFile(path, text, 0o600))
	got, err := find(path, []byte("marker"))
	must(t, err)
	if len(got) != len(want) || len(want) != 7 {
		t.Fatalf("found %d, want %d", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("found %d, want %d", got, want)
		}
	}
}

func TestTruncateZeroOld(t *testing.T) {
	path, before := sample(t)
	older := path + ".older"
	must(t, os.WriteFile(older, bytes.ToUpper(bytes.ReplaceAll(before, []byte("1"), []byte("a"))), 0o600))
	did(t)(OldChunk(path, older, 10, 100))
	after, err := os.ReadFile(path)
	must(t, err)
	if want := strings.ReplaceAll(string(before[10:110]), "1", "A"); string(after[10:110]) != want || !bytes.Equal(after[110:], before[110:]) {
		t.Error("the chunk is not the older one")
	}
	did(t)(ZeroRange(path, 200, 50))
	after, err = os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(after[200:250], make([]byte, 50)) || after[250] != before[250] {
		t.Error("the range is not zero")
	}
	did(t)(Truncate(path, 100))
	did(t)(Empty(path))
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("%v, %v: want an empty file", info, err)
	}
	if _, err := Empty(path); !errors.Is(err, ErrVoid) {
		t.Errorf("Empty of an empty file: %v", err)
	}
}

func TestTrees(t *testing.T) {
	path, before := sample(t)
	src, older, foreign := filepath.Dir(path), filepath.Join(t.TempDir(), "older"), t.TempDir()
	must(t, os.Mkdir(filepath.Join(src, "d"), 0o750))
	must(t, os.WriteFile(filepath.Join(src, "d", "g"), []byte("g"), 0o640))
	must(t, os.Symlink("d/g", filepath.Join(src, "l")))
	did(t)(CopyTree(older, src))
	if info, err := os.Stat(filepath.Join(older, "l")); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v: want a link to a file of mode 0640", info, err)
	}
	if diff(t, filepath.Join(older, "f"), before) != 0 {
		t.Error("the copy differs")
	}
	must(t, os.WriteFile(filepath.Join(src, "later"), []byte("x"), 0o600))
	did(t)(ReplaceTree(src, older))
	if _, err := os.Stat(filepath.Join(src, "later")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that came later: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(foreign, "f"), []byte("foreign"), 0o600))
	did(t)(ReplaceTree(src, foreign))
	if got, err := os.ReadFile(path); err != nil || string(got) != "foreign" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestDamagedBolt: a flipped bit in a value of a real store, on a volume, is
// there when the store is opened again, and the store does not notice.
func TestDamagedBolt(t *testing.T) {
	e := newExt4(t)
	path := filepath.Join(e.Dir(), "raft.db")
	db := start(t, "put", path)
	db.want("open")
	db.put(0, 5)
	db.in.Close()
	db.wait()
	did(t)(FlipIn(path, bytes.Repeat([]byte("v"), 100), Every, newRand()))
	must(t, e.PowerCut(false)) // what was done is durable
	must(t, e.Restore())
	if n, why := keys(t, path); n != 5 {
		t.Errorf("%d keys: %s", n, why)
	}
	if n, err := find(path, bytes.Repeat([]byte("v"), 100)); err != nil || len(n) > 0 {
		t.Errorf("%d whole values are left, %v", len(n), err)
	}
	did(t)(Truncate(path, 8192))
	if n, _ := keys(t, path); n != 0 {
		t.Errorf("the store has %d keys without its pages", n)
	}
}
