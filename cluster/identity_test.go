package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIdentityRoundTrip(t *testing.T) {
	dir := t.TempDir()
	if id, err := readIdentity(dir); id != nil || err != nil {
		t.Fatalf("an empty directory is %v, %v", id, err)
	}
	want, err := newIdentity("k1").started()
	if err != nil {
		t.Fatal(err)
	}
	if err := writeIdentity(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := readIdentity(dir)
	if err != nil || *got != want {
		t.Errorf("read %+v, %v; want %+v", got, err, want)
	}
	if other := newIdentity("k1"); other.MemberID == want.MemberID {
		t.Error("two directories got the same id")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestIdentityCountsStarts(t *testing.T) {
	id := newIdentity("k1")
	for want := uint64(1); want < 4; want++ {
		next, err := id.started()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := starts(next.Incarnation); err != nil || n != want {
			t.Errorf("start %d is incarnation %q: %v", want, next.Incarnation, err)
		}
		if next.Incarnation == id.Incarnation || next.MemberID != id.MemberID {
			t.Errorf("%+v follows %+v", next, id)
		}
		id = next
	}
	for _, bad := range []string{"", "1", "1-", "-a", "x-a", "-1-a", "1-" + strings.Repeat("a", 64)} {
		if _, err := starts(bad); err == nil {
			t.Errorf("incarnation %q was read", bad)
		}
	}
}

func TestIdentityLearnsOnce(t *testing.T) {
	dir := t.TempDir()
	h := &holder{dir: dir, id: newIdentity("k1")}
	for range 2 {
		if err := h.learn("c1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.learn("c2"); !errors.Is(err, ErrForeign) {
		t.Errorf("a second cluster id: %v", err)
	}
	if id, err := readIdentity(dir); err != nil || id.ClusterID != "c1" {
		t.Errorf("on disk: %+v, %v", id, err)
	}
	h = &holder{dir: filepath.Join(dir, "gone"), id: newIdentity("k1")}
	if err := h.learn("c1"); err == nil || h.get().ClusterID != "" {
		t.Errorf("learned what could not be written: %v", err)
	}
}

func FuzzIdentity(f *testing.F) {
	good, err := json.Marshal(newIdentity("k1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"formatVersion":1,"memberId":"00000000000000000000000000000000","name":"k","incarnation":"3-a"}`))
	f.Add([]byte(`{"formatVersion":2}`))
	f.Add([]byte("\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		id, err := decodeIdentity(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeIdentity(again); err != nil || back != id {
			t.Errorf("%q was read as %+v and again as %+v, %v", data, id, back, err)
		}
		next, err := id.started()
		if err != nil || len(next.Incarnation) > 64 {
			t.Errorf("%+v cannot start: %v", id, err)
		}
	})
}

func TestOpenRefusesUnwritable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 10), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	f := newFleet(t)
	c := f.config("k1", 1)
	c.DataDir = filepath.Join(path, "data")
	if _, err := f.open(c); err == nil {
		t.Error("opened a directory under a file")
	}
}
