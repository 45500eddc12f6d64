package fsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestDamagedSnapshotIsRefused(t *testing.T) {
	r := story(t)
	var buf bytes.Buffer
	if n, err := r.m.State().WriteTo(&buf); err != nil || n != int64(buf.Len()) {
		t.Fatal(n, err)
	}
	good := buf.Bytes()
	m := New()
	before := m.State().Hash()
	for i := range good {
		flipped := bytes.Clone(good)
		flipped[i] ^= 0x10
		for name, data := range map[string][]byte{"cut": good[:i], "flipped": flipped} {
			if err := m.Restore(bytes.NewReader(data)); !errors.Is(err, ErrSnapshot) {
				t.Fatalf("%s at %d: %v", name, i, err)
			}
		}
	}
	if m.State().Hash() != before {
		t.Error("a damaged snapshot changed the state")
	}
	if err := m.Restore(bytes.NewReader(good)); err != nil || m.State().Hash() != r.m.State().Hash() {
		t.Errorf("the good one: %v", err)
	}
}

// TestGoldenLog holds the log and the snapshot to what was once written: a
// keeper must read what its older self wrote.
func TestGoldenLog(t *testing.T) {
	const file = "testdata/story.golden"
	r := story(t)
	var snapshot bytes.Buffer
	if _, err := r.m.State().WriteTo(&snapshot); err != nil {
		t.Fatal(err)
	}
	if *update {
		var out strings.Builder
		for _, e := range append(r.log, snapshot.Bytes()) {
			out.WriteString(hex.EncodeToString(e) + "\n")
		}
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(golden))
	m := New()
	for i, line := range lines[:len(lines)-1] {
		entry, err := hex.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Apply(uint64(i+1), 3, entry); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
	old, err := hex.DecodeString(lines[len(lines)-1])
	if err != nil {
		t.Fatal(err)
	}
	restored, err := ReadSnapshot(bytes.NewReader(old))
	if err != nil {
		t.Fatal(err)
	}
	if m.State().Hash() != restored.Hash() {
		t.Error("the golden log and the golden snapshot are not the same state")
	}
	if m.State().Hash() != r.m.State().Hash() {
		t.Error("the story tells another state than when it was written down")
	}
}

func FuzzReadSnapshot(f *testing.F) {
	var buf bytes.Buffer
	if _, err := story(f).m.State().WriteTo(&buf); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add([]byte(snapshotMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ReadSnapshot(bytes.NewReader(data))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if _, err := s.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		again, err := ReadSnapshot(&out)
		if err != nil || again.Hash() != s.Hash() {
			t.Errorf("what was read cannot be written and read again: %v", err)
		}
	})
}

func TestKeysAreDistinctAndOrdered(t *testing.T) {
	parts := [][]string{{"", ""}, {"", "\x00"}, {"", "a"}, {"\x00", ""}, {"\x00", "b"}, {"\x00a", ""}, {"\x00\xff", ""}, {"a", ""}, {"a", "\x00"}, {"a", "b"}, {"ab", ""}, {"b", ""}}
	for i := range parts {
		for j := range i {
			if string(key(parts[j]...)) >= string(key(parts[i]...)) {
				t.Errorf("%q is not before %q", parts[j], parts[i])
			}
		}
	}
}
