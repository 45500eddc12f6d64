package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/zerokeeper/zero/transport/durable"
)

// Errors that refuse a data directory. They say what to do in their text.
var (
	// ErrDirectory is the base of all of them.
	ErrDirectory = errors.New("data directory refused")
	// ErrWiped: a member whose log is gone. As a voter it would vote for a
	// leader that lacks what it once acknowledged.
	ErrWiped = fmt.Errorf("%w: the identity is there but the log is gone", ErrDirectory)
	// ErrForeign: the directory belongs to another keeper or cluster.
	ErrForeign = fmt.Errorf("%w: it belongs to another", ErrDirectory)
	// ErrInUse: another process has it open.
	ErrInUse = fmt.Errorf("%w: another process has it open", ErrDirectory)
	// ErrDamaged: a file in it cannot be used.
	ErrDamaged = fmt.Errorf("%w: a file is damaged", ErrDirectory)
)

const (
	identityFile   = "identity.json"
	identityFormat = 1
	maxIdentity    = 4096 // bytes of the file
)

// identity is who a data directory is. It is written before the node votes for
// the first time.
type identity struct {
	Format    int    `json:"formatVersion"`
	MemberID  string `json:"memberId"`  // 32 hex digits, random, for the life of the directory
	Name      string `json:"name"`      // of the keeper
	ClusterID string `json:"clusterId"` // empty until the member applied it
	// Incarnation is "N-random": N counts the starts of the directory. A lower
	// number than the group remembers is an older copy of the directory.
	Incarnation string `json:"incarnation"`
}

// newIdentity is the identity of an empty directory.
func newIdentity(name string) identity {
	return identity{Format: identityFormat, MemberID: randomID(), Name: name}
}

// randomID is 16 random bytes in hex.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand crashes the program instead
	return hex.EncodeToString(b[:])
}

// validID reports whether id has the form of a member id.
func validID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == 16 && strings.ToLower(id) == id
}

// starts is the number in an incarnation.
func starts(incarnation string) (uint64, error) {
	n, nonce, ok := strings.Cut(incarnation, "-")
	count, err := strconv.ParseUint(n, 10, 64)
	if !ok || nonce == "" || len(incarnation) > 64 || err != nil {
		return 0, fmt.Errorf("incarnation %q: want a number, a hyphen and random digits", incarnation)
	}
	return count, nil
}

// started is the identity for one more start.
func (id identity) started() (identity, error) {
	var count uint64
	if id.Incarnation != "" {
		var err error
		if count, err = starts(id.Incarnation); err != nil {
			return identity{}, err
		}
	}
	id.Incarnation = fmt.Sprintf("%d-%s", count+1, randomID()[:8])
	return id, nil
}

// identityJSON is the identity in its file. The checksum is over the fields: a
// flipped bit in an id would make this another member.
type identityJSON struct {
	identityFields
	Checksum string `json:"checksum"` // CRC-32C, 8 hex digits
}

// identityFields has identity's fields without its methods.
type identityFields identity

func (id identity) checksum() string {
	h := crc32.New(castagnoli)
	fmt.Fprintf(h, "%d %q %q %q %q", id.Format, id.MemberID, id.Name, id.ClusterID, id.Incarnation)
	return hex.EncodeToString(h.Sum(nil))
}

// MarshalJSON adds the checksum.
func (id identity) MarshalJSON() ([]byte, error) {
	return json.Marshal(identityJSON{identityFields(id), id.checksum()})
}

// decodeIdentity reads an identity file's content strictly.
func decodeIdentity(data []byte) (identity, error) {
	if len(data) > maxIdentity {
		return identity{}, fmt.Errorf("%d bytes, at most %d", len(data), maxIdentity)
	}
	var file identityJSON
	if err := json.Unmarshal(data, &file); err != nil {
		return identity{}, err
	}
	id := identity(file.identityFields)
	if id.Format != identityFormat {
		return id, fmt.Errorf("format version %d, this program knows %d", id.Format, identityFormat)
	}
	if file.Checksum != id.checksum() {
		return id, errSeal
	}
	if !validID(id.MemberID) {
		return id, fmt.Errorf("member id %q: want 32 hex digits", id.MemberID)
	}
	if err := checkName(id.Name); err != nil {
		return id, err
	}
	if len(id.ClusterID) > maxPreambleField {
		return id, fmt.Errorf("a cluster id of %d bytes", len(id.ClusterID))
	}
	if id.Incarnation != "" {
		if _, err := starts(id.Incarnation); err != nil {
			return id, err
		}
	}
	return id, nil
}

// readIdentity is nil when there is no file.
func readIdentity(dir string) (*identity, error) {
	path := filepath.Join(dir, identityFile)
	data, err := durable.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	id, err := decodeIdentity(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w. Do not delete it alone: remove the member from the group and the whole directory, and start again", ErrDamaged, path, err)
	}
	return &id, nil
}

// writeIdentity replaces the file so that a crash leaves the old or the new one.
func writeIdentity(dir string, id identity) error {
	if err := durable.WriteJSON(filepath.Join(dir, identityFile), id); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return nil
}

// holder is the identity of a running node; only the cluster id still changes.
type holder struct {
	dir     string  // empty: in memory, or in storage
	storage Storage // nil: in dir
	mu      sync.RWMutex
	id      identity
}

func (h *holder) get() identity {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.id
}

// learn records the cluster id once, durably. Another than the recorded one is
// refused.
func (h *holder) learn(clusterID string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch h.id.ClusterID {
	case clusterID:
		return nil
	case "":
	default:
		return fmt.Errorf("%w: the directory is of cluster %s, the state of cluster %s", ErrForeign, h.id.ClusterID, clusterID)
	}
	next := h.id
	next.ClusterID = clusterID
	if h.dir != "" {
		if err := writeIdentity(h.dir, next); err != nil {
			return err
		}
	}
	if h.storage != nil {
		if err := storeIdentity(h.storage, next); err != nil {
			return err
		}
	}
	h.id = next
	return nil
}
