package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPowerCutFile(t *testing.T) {
	for _, tt := range []struct {
		name    string
		journal bool
	}{{name: "cut", journal: false}, {name: "journal flushed", journal: true}} {
		t.Run(tt.name, func(t *testing.T) {
			e := newExt4(t)
			p := filepath.Join(e.Dir(), "f")
			f, err := os.Create(p)
			must(t, err)
			defer f.Close()
			_, err = f.WriteString("synced")
			must(t, err)
			must(t, f.Sync())
			d, err := os.Open(e.Dir())
			must(t, err)
			must(t, d.Sync())
			must(t, d.Close())
			_, err = f.WriteString(" and not")
			must(t, err)
			must(t, os.WriteFile(filepath.Join(e.Dir(), "new"), []byte("not synced"), 0o600))

			must(t, e.PowerCut(tt.journal))
			if _, err := f.WriteString("late"); !errors.Is(err, unix.EIO) {
				t.Errorf("write after the cut: %v, want EIO", err)
			}
			must(t, f.Close())
			must(t, e.Restore())
			got, err := os.ReadFile(p)
			must(t, err)
			// The journal has the new size, but no data: zeros stand there.
			if string(bytes.TrimRight(got, "\x00")) != "synced" || (!tt.journal && len(got) != len("synced")) {
				t.Errorf("the file has %q, want what was synced", got)
			}
			got, err = os.ReadFile(filepath.Join(e.Dir(), "new"))
			if tt.journal {
				// The name was in the journal, the data nowhere.
				if err != nil || len(got) > 0 {
					t.Errorf("the new file has %q, %v, want it empty", got, err)
				}
			} else if !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the new file has %q, %v, want none", got, err)
			}
		})
	}
}

// TestPowerCutBolt: what bbolt acknowledged is there after a power cut. The
// control is bbolt without fsync, which must lose: otherwise the cut cuts nothing.
func TestPowerCutBolt(t *testing.T) {
	for _, tt := range []struct {
		name, sync string
		loses      bool
	}{{name: "synced", sync: "sync"}, {name: "control", sync: "nosync", loses: true}} {
		t.Run(tt.name, func(t *testing.T) {
			e := newExt4(t)
			path := filepath.Join(e.Dir(), "raft.db")
			acked := 0
			for range 3 {
				db := start(t, "put", path, tt.sync)
				db.want("open")
				db.put(acked, acked+10)
				acked += 10
				must(t, e.PowerCut(false))
				db.kill()
				must(t, e.Restore())
				n, why := keys(t, path)
				t.Logf("%d keys of %d acknowledged %s", n, acked, why)
				if tt.loses {
					if n >= acked {
						t.Errorf("nothing is lost without fsync: the power cut does not bite")
					}
					return
				}
				if n != acked {
					t.Fatalf("%d keys, want the %d that were acknowledged: %s", n, acked, why)
				}
			}
		})
	}
}
