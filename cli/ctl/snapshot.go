package ctl

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// snapshotCommand is "zeroctl snapshot".
func (a *app) snapshotCommand() *cobra.Command {
	return group("snapshot", "Copies of the keepers' state", a.snapshotSaveCommand())
}

// snapshotTime is what a large snapshot may take beyond --timeout.
const snapshotTime = 2 * time.Minute

// savedSnapshot is the JSON of "snapshot save".
type savedSnapshot struct {
	File   string `json:"file"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"` // of the file
	Index  uint64 `json:"index"`
	Term   uint64 `json:"term"`
	Hash   string `json:"hash"` // of the state
}

func (a *app) snapshotSaveCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "save FILE", Short: "Save the state of the keepers to a file", Args: cobra.ExactArgs(1),
		Long: `Asks the leader for the state as it is now and writes it to FILE: whole or not at
all, and on disk before the command ends. It is then read as a restore would read
it; exit code 5 says that this failed. A file that exists is not overwritten
without --force.`,
		Example: "  zeroctl snapshot save zero-$(date +%F).snap",
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Lstat(args[0]); err == nil && !force {
				return badInput("%s exists; give another name, or --force to overwrite it", args[0])
			}
			done := a.progress("saving a snapshot")
			defer done()
			var answer api.SnapshotSaveAnswer
			if err := a.readLong(cmd.Context(), snapshotTime, api.SnapshotSave, api.SnapshotSaveRequest{}, &answer); err != nil {
				return err
			}
			if len(answer.Snapshot) == 0 {
				return failed(api.DataRead, "the keeper's snapshot is empty; nothing was written")
			}
			if err := saveFile(args[0], answer.Snapshot, force); err != nil {
				return err
			}
			done()
			sum := sha256.Sum256(answer.Snapshot)
			saved := savedSnapshot{
				File: args[0], Bytes: len(answer.Snapshot), SHA256: hex.EncodeToString(sum[:]),
				Index: answer.Index, Term: answer.Term, Hash: answer.Hash,
			}
			return a.answer(view{JSON: saved, Err: verify(&answer), Text: func(t *text) {
				t.Fields("file", saved.File, "size", bytesText(uint64(saved.Bytes)), "sha256", saved.SHA256,
					"index", fmt.Sprint(saved.Index), "term", fmt.Sprint(saved.Term), "state hash", saved.Hash)
			}})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "overwrite FILE")
	return cmd
}

// verify reads a snapshot as a restore would. One that cannot be read is kept
// all the same: it may be of a newer version than this zeroctl.
func verify(answer *api.SnapshotSaveAnswer) error {
	state, err := fsm.ReadSnapshot(bytes.NewReader(answer.Snapshot))
	if err != nil {
		return unhealthy("the snapshot was saved, but this zeroctl cannot read it: %w", err)
	}
	hash := state.Hash()
	if got := hex.EncodeToString(hash[:]); got != answer.Hash || state.Index() != answer.Index {
		return unhealthy("the snapshot was saved, but it is not what the keeper said: hash %s at index %d, not %s at %d", got, state.Index(), answer.Hash, answer.Index)
	}
	return nil
}

// saveFile writes a file whole or not at all: beside it, to the disk, then
// under its name. It is for its owner only: the state holds configurations.
func saveFile(path string, data []byte, overwrite bool) (err error) {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			// The write failed; what is left of it goes, if it is there.
			temp.Close()
			os.Remove(temp.Name())
		}
	}()
	if _, err = temp.Write(data); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	if err = temp.Sync(); err != nil {
		return fmt.Errorf("save %s: sync: %w", path, err)
	}
	if err = temp.Close(); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	if err = giveName(temp.Name(), path, overwrite); err != nil {
		return err
	}
	return syncDir(dir)
}

// giveName gives the temporary file its name. A link, unlike a rename, fails when
// the name was taken meanwhile.
func giveName(temp, path string, overwrite bool) error {
	if overwrite {
		if err := os.Rename(temp, path); err != nil {
			return fmt.Errorf("save %s: %w", path, err)
		}
		return nil
	}
	err := os.Link(temp, path)
	if errors.Is(err, os.ErrExist) {
		return badInput("%s exists; give another name, or --force to overwrite it", path)
	}
	if err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	if err := os.Remove(temp); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	return nil
}

// syncDir makes a new name in a directory last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
