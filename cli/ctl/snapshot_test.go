package ctl

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// snapshotOf is a real snapshot, and the answer that carries it.
func snapshotOf(t *testing.T) (string, api.SnapshotSaveAnswer) {
	t.Helper()
	var buf bytes.Buffer
	state := fsm.New().State()
	if _, err := state.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	hash := state.Hash()
	return buf.String(), api.SnapshotSaveAnswer{Index: state.Index(), Hash: hex.EncodeToString(hash[:]), Snapshot: buf.Bytes()}
}

// TestSnapshotIsVerified: what the keeper said of it must be so.
func TestSnapshotIsVerified(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*api.SnapshotSaveAnswer)
		say    string
	}{
		{"hash", func(a *api.SnapshotSaveAnswer) { a.Hash = "aa" }, "not what the keeper said"},
		{"index", func(a *api.SnapshotSaveAnswer) { a.Index++ }, "not what the keeper said"},
		{"damaged", func(a *api.SnapshotSaveAnswer) { a.Snapshot[len(a.Snapshot)-1] ^= 1 }, "cannot read it"},
		{"cut", func(a *api.SnapshotSaveAnswer) { a.Snapshot = a.Snapshot[:5] }, "cannot read it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, answer := snapshotOf(t)
			test.change(&answer)
			f := healthy()
			f.handlers[api.SnapshotSave] = say(answer)
			got := run{fake: f}.do("snapshot", "save", filepath.Join(t.TempDir(), "s"))
			if got.code != ExitUnhealthy || !strings.Contains(got.err, test.say) {
				t.Errorf("exit %d: %s", got.code, got.err)
			}
		})
	}
}

func TestSnapshotSave(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "zero.snap")
	state, answer := snapshotOf(t)
	first := healthy()
	first.handlers[api.SnapshotSave] = say(answer)
	got := run{fake: first}.do("snapshot", "save", path)
	if got.code != 0 || !strings.Contains(got.out, "state hash  "+answer.Hash) {
		t.Errorf("exit %d: %s%s", got.code, got.out, got.err)
	}
	holds := func(want string) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil || string(data) != want {
			t.Errorf("the file holds %q, %v; want %q", data, err, want)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("%d files are left, %v", len(entries), err)
		}
	}
	holds(state)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	newer := healthy()
	newer.handlers[api.SnapshotSave] = say(api.SnapshotSaveAnswer{Index: 121, Snapshot: []byte("newer")})
	if got := (run{fake: newer}).do("snapshot", "save", path); got.code != ExitBadInput || !strings.Contains(got.err, "--force") {
		t.Errorf("overwritten: exit %d: %s", got.code, got.err)
	}
	holds(state)
	if len(newer.calls) != 0 {
		t.Error("the keepers were asked for a snapshot that has no place")
	}
	if got := (run{fake: newer}).do("snapshot", "save", path, "--force"); got.code != ExitUnhealthy || !strings.Contains(got.err, "cannot read it") {
		t.Errorf("a snapshot of another version, with --force: exit %d: %s", got.code, got.err)
	}
	holds("newer")
	newer.handlers[api.SnapshotSave] = say(api.SnapshotSaveAnswer{Index: 122})
	if got := (run{fake: newer}).do("snapshot", "save", path, "--force"); got.code != ExitFailed {
		t.Errorf("an empty snapshot: exit %d: %s", got.code, got.err)
	}
	holds("newer")
	if got := (run{fake: healthy()}).do("snapshot", "save", filepath.Join(dir, "no", "such")); got.code != ExitFailed || !strings.Contains(got.err, "no such file") {
		t.Errorf("no directory: exit %d: %s", got.code, got.err)
	}
}

// TestSaveFileDoesNotOverwrite: also what came after the first look.
func TestSaveFileDoesNotOverwrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "taken")
	if err := os.WriteFile(path, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := saveFile(path, []byte("ours"), false); exitOf(err) != ExitBadInput {
		t.Errorf("got %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "theirs" {
		t.Errorf("the file holds %q, %v", data, err)
	}
}
