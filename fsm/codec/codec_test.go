package codec

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

type inner struct {
	Name string
	N    int64
}

type older struct {
	ID   string
	Flag bool
}

type newer struct {
	ID    string
	Flag  bool
	Small uint8
	Big   uint64
	Data  []byte
	List  []inner
	Texts []string
}

func TestRoundTrip(t *testing.T) {
	for _, v := range []newer{
		{},
		{ID: "a\x00b", Flag: true, Small: 255, Big: 1<<64 - 1, Data: []byte{0, 1}, List: []inner{{"x", -5}, {"", 1 << 62}}, Texts: []string{"", "q"}},
	} {
		data := Append(nil, v)
		if !bytes.Equal(data, Append(nil, &v)) {
			t.Error("a pointer is encoded in another way")
		}
		var back newer
		if err := Decode(data, &back); err != nil || !reflect.DeepEqual(back, v) {
			t.Errorf("%+v came back as %+v, %v", v, back, err)
		}
	}
}

func TestFieldsAreAppendOnly(t *testing.T) {
	var n newer
	if err := Decode(Append(nil, older{"x", true}), &n); err != nil || n.ID != "x" || !n.Flag {
		t.Errorf("an older value: %+v, %v", n, err)
	}
	var o older
	if err := Decode(Append(nil, newer{ID: "x"}), &o); !errors.Is(err, ErrUnknownField) {
		t.Errorf("a newer value: %v", err)
	}
}

func TestMalformed(t *testing.T) {
	good := Append(nil, newer{ID: "abc", List: []inner{{"x", 1}}})
	for i := range good {
		var v newer
		if err := Decode(good[:i], &v); !errors.Is(err, ErrMalformed) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	for name, data := range map[string][]byte{
		"one byte too many":        append(bytes.Clone(good), 0),
		"huge length":              {2, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"padded varint":            {0x82, 0x00, 0, 0},
		"bool of 2":                {2, 0, 2},
		"uint8 of 256":             {3, 0, 0, 0x80, 0x02},
		"more elements than bytes": {6, 0, 0, 0, 0, 0, 200, 1},
	} {
		var v newer
		if err := Decode(data, &v); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %+v", name, err, v)
		}
	}
}

func TestUnencodableTypePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a map was encoded")
		}
	}()
	Append(nil, struct{ M map[string]int }{})
}

func FuzzDecode(f *testing.F) {
	f.Add(Append(nil, newer{ID: "abc", Data: []byte("d"), List: []inner{{"x", 1}}, Texts: []string{"t"}}))
	f.Add([]byte{7, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var v newer
		if Decode(data, &v) != nil {
			return
		}
		// What decodes with all of its fields has this encoding and no other.
		if data[0] == 7 && len(v.List) == 0 && !bytes.Equal(Append(nil, v), data) {
			t.Errorf("%x is %+v is %x", data, v, Append(nil, v))
		}
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	v := newer{ID: "section-0001", Big: 1 << 40, Data: make([]byte, 256)}
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], &v)
		var back newer
		if err := Decode(buf, &back); err != nil {
			b.Fatal(err)
		}
	}
}
