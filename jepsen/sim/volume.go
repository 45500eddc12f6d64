package sim

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/raft"
)

// reading is a look at the volume under its lock.
func reading[T any](v *volume, f func(*image) (T, error)) (T, error) {
	v.disk.mu.Lock()
	defer v.disk.mu.Unlock()
	if v.disk.open != v {
		var none T
		return none, errCrashed
	}
	return f(v.view)
}

// FirstIndex is the index of the oldest entry, 0 without entries.
func (v *volume) FirstIndex() (uint64, error) {
	return reading(v, func(i *image) (uint64, error) { return i.first, nil })
}

// LastIndex is the index of the newest entry, 0 without entries.
func (v *volume) LastIndex() (uint64, error) {
	return reading(v, func(i *image) (uint64, error) { return i.last, nil })
}

// GetLog reads one entry.
func (v *volume) GetLog(index uint64, log *raft.Log) error {
	entry, err := reading(v, func(i *image) (raft.Log, error) {
		if l, ok := i.logs[index]; ok {
			return l, nil
		}
		return raft.Log{}, raft.ErrLogNotFound
	})
	if err == nil {
		*log = entry
	}
	return err
}

// StoreLog stores one entry.
func (v *volume) StoreLog(log *raft.Log) error { return v.StoreLogs([]*raft.Log{log}) }

// StoreLogs stores all or none of the entries.
func (v *volume) StoreLogs(logs []*raft.Log) error {
	entries := make([]raft.Log, len(logs))
	for i, l := range logs {
		entries[i] = *l
	}
	return v.write(func(i *image) {
		for _, l := range entries {
			i.logs[l.Index] = l
			if i.first == 0 || l.Index < i.first {
				i.first = l.Index
			}
			i.last = max(i.last, l.Index)
		}
	})
}

// DeleteRange deletes the entries from low to high, both included.
func (v *volume) DeleteRange(low, high uint64) error {
	return v.write(func(i *image) {
		for index := range i.logs {
			if low <= index && index <= high {
				delete(i.logs, index)
			}
		}
		i.first, i.last = 0, 0
		for index := range i.logs {
			if i.first == 0 || index < i.first {
				i.first = index
			}
			i.last = max(i.last, index)
		}
	})
}

// Set stores a value.
func (v *volume) Set(key, value []byte) error {
	name, data := string(key), bytes.Clone(value)
	return v.write(func(i *image) { i.values[name] = data })
}

// Get reads a value.
func (v *volume) Get(key []byte) ([]byte, error) {
	return reading(v, func(i *image) ([]byte, error) {
		if data, ok := i.values[string(key)]; ok {
			return bytes.Clone(data), nil
		}
		return nil, errNotFound
	})
}

// SetUint64 stores a number.
func (v *volume) SetUint64(key []byte, value uint64) error {
	name := string(key)
	return v.write(func(i *image) { i.numbers[name] = value })
}

// GetUint64 reads a number.
func (v *volume) GetUint64(key []byte) (uint64, error) {
	return reading(v, func(i *image) (uint64, error) {
		if n, ok := i.numbers[string(key)]; ok {
			return n, nil
		}
		return 0, errNotFound
	})
}

// ReadIdentity is the identity, nil on an empty disk.
func (v *volume) ReadIdentity() ([]byte, error) {
	return reading(v, func(*image) ([]byte, error) { return bytes.Clone(v.disk.identity), nil })
}

// WriteIdentity is always synced and takes no time: its caller holds a lock.
func (v *volume) WriteIdentity(data []byte) error {
	_, err := reading(v, func(*image) (struct{}, error) {
		v.disk.identity = bytes.Clone(data)
		return struct{}{}, nil
	})
	return err
}

// stored is a snapshot on a disk.
type stored struct {
	meta raft.SnapshotMeta
	data []byte
}

// sink takes a snapshot; it is on the disk when it is closed.
type sink struct {
	volume *volume
	meta   raft.SnapshotMeta
	data   bytes.Buffer
	done   bool
}

// Create begins a snapshot.
func (v *volume) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{volume: v, meta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%d-%d", term, index), Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}, nil
}

// List is the snapshots, newest first.
func (v *volume) List() ([]*raft.SnapshotMeta, error) {
	return reading(v, func(i *image) ([]*raft.SnapshotMeta, error) {
		var list []*raft.SnapshotMeta
		for _, s := range i.snapshots {
			meta := s.meta
			list = append(list, &meta)
		}
		return list, nil
	})
}

// Open reads a snapshot.
func (v *volume) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s, err := reading(v, func(i *image) (*stored, error) {
		for _, s := range i.snapshots {
			if s.meta.ID == id {
				return s, nil
			}
		}
		return nil, fmt.Errorf("open snapshot %s: %w", id, errNotFound)
	})
	if err != nil {
		return nil, nil, err
	}
	meta := s.meta
	return &meta, io.NopCloser(bytes.NewReader(s.data)), nil
}

func (s *sink) ID() string                        { return s.meta.ID }
func (s *sink) Write(p []byte) (n int, err error) { return s.data.Write(p) }

// Cancel gives the snapshot up.
func (s *sink) Cancel() error {
	s.done = true
	return nil
}

// Close makes the snapshot durable and deletes the oldest ones.
func (s *sink) Close() error {
	if s.done {
		return nil
	}
	s.done = true
	s.meta.Size = int64(s.data.Len())
	kept := &stored{meta: s.meta, data: s.data.Bytes()}
	return s.volume.write(func(i *image) {
		list := slices.DeleteFunc(slices.Clone(i.snapshots), func(o *stored) bool { return o.meta.ID == kept.meta.ID })
		list = append(list, kept)
		slices.SortStableFunc(list, func(a, b *stored) int {
			if a.meta.Term != b.meta.Term {
				return int(int64(b.meta.Term) - int64(a.meta.Term))
			}
			return int(int64(b.meta.Index) - int64(a.meta.Index))
		})
		i.snapshots = list[:min(len(list), retained)]
	})
}
