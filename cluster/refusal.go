package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/zerokeeper/zero/transport/durable"
)

// Errors that condemn a data directory: it must never be started again.
var (
	// ErrDiverged: the state differed from that of most keepers.
	ErrDiverged = fmt.Errorf("%w: its state differed from that of most keepers", ErrDirectory)
	// ErrOlderCopy: the group knows a later start of the same directory, or
	// another of equal number: it is an older copy, or one of two.
	ErrOlderCopy = fmt.Errorf("%w: it is an older copy of this member's directory, or one of two", ErrDirectory)
)

const (
	refusalFile   = "refused.json"
	refusalFormat = 1
	condemnedHint = "It must not vote again: remove this member from the group (zeroctl member remove), delete the whole data directory and start again, to join as a new member"
)

// condemned are the errors that a refusal file can stand for, by name.
var condemned = map[string]error{"diverged": ErrDiverged, "older-copy": ErrOlderCopy}

// refusal is the file that keeps a data directory from being started again.
type refusal struct {
	Format int    `json:"formatVersion"`
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
}

// condemn ends the node and marks its directory, so that a restart is refused:
// counted by its starts, an older copy would pass for a new one in the end.
func (n *Node) condemn(kind error, reason string) {
	err := fmt.Errorf("%w: %s. %s", kind, reason, condemnedHint)
	if dir := n.stores.identity.dir; dir != "" {
		for name, k := range condemned {
			if k == kind {
				err = errors.Join(err, durable.WriteJSON(filepath.Join(dir, refusalFile), refusal{refusalFormat, name, reason}))
			}
		}
	}
	n.fail(err)
}

// checkCondemned refuses a directory that was condemned. A refusal that cannot
// be read refuses as well.
func checkCondemned(dir string) error {
	path := filepath.Join(dir, refusalFile)
	data, err := durable.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ErrDirectory, path, err)
	}
	var r refusal
	if err := json.Unmarshal(data, &r); err != nil || r.Format != refusalFormat || condemned[r.Kind] == nil {
		return fmt.Errorf("%w: %s says so, but not why. %s", ErrDirectory, path, condemnedHint)
	}
	return fmt.Errorf("%w: %s. %s", condemned[r.Kind], r.Reason, condemnedHint)
}
