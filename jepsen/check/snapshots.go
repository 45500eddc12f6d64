package check

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
)

// Snapshot is one that a keeper has on disk. Index and Term are raft's: the state's own are those of the last command,
// and entries that are no commands may follow it.
type Snapshot struct {
	ID          string
	Index, Term uint64
	Servers     []raft.Server
	State       *fsm.State
}

// snapshotMeta is meta.json as raft's FileSnapshotStore writes it.
type snapshotMeta struct {
	raft.SnapshotMeta
	CRC []byte // CRC-64/ECMA of state.bin
}

// readSnapshots reads all snapshots below dir, ascending by index. raft's own store would write into the directory.
// Unfinished ones are left out, those that cannot be read are named in damaged.
func readSnapshots(dir string) (whole []Snapshot, damaged []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrDirectory, err)
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		s, err := readSnapshot(filepath.Join(dir, e.Name()))
		if err != nil {
			damaged = append(damaged, fmt.Sprintf("%s: %v", e.Name(), err))
			continue
		}
		whole = append(whole, s)
	}
	slices.SortFunc(whole, bySnapshotIndex)
	return whole, damaged, nil
}

func bySnapshotIndex(a, b Snapshot) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID, b.ID))
}

func newSnapshot(meta *raft.SnapshotMeta, state *fsm.State) Snapshot {
	return Snapshot{ID: meta.ID, Index: meta.Index, Term: meta.Term, Servers: meta.Configuration.Servers, State: state}
}

func readSnapshot(dir string) (s Snapshot, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		return s, err
	}
	var meta snapshotMeta
	if err = json.Unmarshal(text, &meta); err != nil {
		return s, fmt.Errorf("meta.json: %w", err)
	}
	f, err := os.Open(filepath.Join(dir, "state.bin"))
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := crc64.New(crc64.MakeTable(crc64.ECMA))
	in := io.TeeReader(bufio.NewReader(f), sum)
	state, err := fsm.ReadSnapshot(in)
	if err != nil {
		return s, err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return s, fmt.Errorf("state.bin: %w", err)
	}
	if !bytes.Equal(sum.Sum(nil), meta.CRC) {
		return s, errors.New("state.bin: its checksum is not the one in meta.json")
	}
	return newSnapshot(&meta.SnapshotMeta, state), nil
}
