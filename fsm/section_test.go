package fsm

import "testing"

// TestPutIfVersion is compare-and-set: every write counts, and only the writer
// that saw the newest version may say which it replaces.
func TestPutIfVersion(t *testing.T) {
	tests := []struct {
		name    string
		put     PutSection
		code    uint16
		version string // of the answer
	}{
		{"not there, as said", PutSection{Data: []byte("a"), Compare: true}, 0, "1"},
		{"there, said not", PutSection{Data: []byte("b"), Compare: true}, CodeConflict, ""},
		{"the version", PutSection{Data: []byte("c"), Compare: true, Version: 1}, 0, "2"},
		{"an old one", PutSection{Data: []byte("d"), Compare: true, Version: 1}, CodeConflict, ""},
		{"a later one", PutSection{Data: []byte("e"), Compare: true, Version: 3}, CodeConflict, ""},
		{"any", PutSection{Data: []byte("f"), Version: 77}, 0, "3"},
	}
	r := newRig(t)
	want := uint64(0)
	for _, test := range tests {
		put := test.put
		result := r.do(test.code, &put)
		if string(result.Data) != test.version {
			t.Errorf("%s: answered version %q, want %q", test.name, result.Data, test.version)
		}
		if test.code == 0 {
			want++
		}
		if s := r.m.State().Section("", ""); s.Version != want {
			t.Errorf("%s: version %d, want %d", test.name, s.Version, want)
		}
	}
}

// TestCompareStateIsChecked: what cannot be a comparison is refused, so that no
// keeper waits for a hash that it will never make.
func TestCompareStateIsChecked(t *testing.T) {
	r := newRig(t)
	r.do(0, &MarkState{})
	hash := r.m.State().Hash()
	for _, bad := range []CompareState{{Index: 0, Hash: hash[:]}, {Index: r.index + 9, Hash: hash[:]}, {Index: r.index, Hash: hash[:31]}} {
		r.do(CodeBadRequest, &bad)
	}
	r.do(0, &CompareState{Index: 1, Hash: hash[:]})
}
