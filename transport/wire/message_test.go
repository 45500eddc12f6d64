package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
)

func sampleMessages() []Message {
	return []Message{
		{Kind: KindRequest, ID: 7, Name: "ConfigFetch", Meta: Meta{{api.MetaDeadline, "250"}, {"x", ""}}, Body: []byte("{}")},
		{Kind: KindOneWay, Name: "Hint", Body: []byte{}},
		{Kind: KindResponse, ID: 1 << 60, Code: api.NotLeader, Data: []byte(`{"id":"k2"}`), ErrMsg: "ask k2", Meta: Meta{{api.MetaTerm, "3"}}},
		{Kind: KindResponse, More: true, ID: 3, Data: []byte("first")},
		{Kind: KindPart, More: true, ID: 3, Data: []byte("second")},
		{Kind: KindPart, ID: 3, Data: []byte{}},
		{Kind: KindCancel, ID: 9},
	}
}

func TestMessagesThereAndBack(t *testing.T) {
	for _, m := range sampleMessages() {
		b, err := AppendMessage(nil, &m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeMessage(b)
		if err != nil {
			t.Fatal(err)
		}
		if m.Data == nil && back.Data != nil && len(back.Data) == 0 {
			back.Data = nil
		}
		if !reflect.DeepEqual(back, m) {
			t.Errorf("%+v came back as %+v", m, back)
		}
	}
}

// TestMessageLayout fixes the bytes of design §6.
func TestMessageLayout(t *testing.T) {
	for _, test := range []struct {
		name string
		m    Message
		want string
	}{
		{"request", Message{Kind: KindRequest, ID: 0x0102, Name: "N", Meta: Meta{{"k", "v"}}, Body: []byte("{}")},
			"01 00 0201000000000000 01000000 4e 0100 01000000 6b 01000000 76 02000000 7b7d"},
		{"one-way", Message{Kind: KindOneWay, Name: "N"}, "02 00 0000000000000000 01000000 4e 0000 00000000"},
		{"response", Message{Kind: KindResponse, ID: 1, Code: api.NoLeader, Data: []byte("d"), ErrMsg: "e", Meta: Meta{{"k", "v"}}},
			"03 00 0100000000000000 36080000 01000000 64 01000000 65 0100 01000000 6b 01000000 76"},
		{"response with parts", Message{Kind: KindResponse, More: true, ID: 1, Data: []byte("d")}, "03 01 0100000000000000 00000000 01000000 64 00000000 0000"},
		{"cancel", Message{Kind: KindCancel, ID: 255}, "04 00 ff00000000000000"},
		{"part", Message{Kind: KindPart, ID: 1, Data: []byte("d")}, "05 00 0100000000000000 01000000 64"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := AppendMessage(nil, &test.m)
			if want := strings.ReplaceAll(test.want, " ", ""); err != nil || hex.EncodeToString(got) != want {
				t.Errorf("got %x, %v; want %s", got, err, want)
			}
		})
	}
}

func TestMessagesRefused(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	many := make(Meta, MaxMeta+1)
	for i := range many {
		many[i] = Pair{long(i + 1), ""}
	}
	for _, test := range []struct {
		name string
		m    Message
		want error
	}{
		{"no name", Message{Kind: KindRequest}, ErrMalformed},
		{"long name", Message{Kind: KindOneWay, Name: long(MaxName + 1)}, ErrTooLong},
		{"many pairs", Message{Kind: KindRequest, Name: "n", Meta: many}, ErrTooLong},
		{"empty key", Message{Kind: KindRequest, Name: "n", Meta: Meta{{"", "v"}}}, ErrMalformed},
		{"key twice", Message{Kind: KindRequest, Name: "n", Meta: Meta{{"k", "v"}, {"k", "w"}}}, ErrMalformed},
		{"long key", Message{Kind: KindRequest, Name: "n", Meta: Meta{{long(MaxMetaKey + 1), ""}}}, ErrTooLong},
		{"long value", Message{Kind: KindRequest, Name: "n", Meta: Meta{{"k", long(MaxMetaValue + 1)}}}, ErrTooLong},
		{"long errMsg", Message{Kind: KindResponse, ErrMsg: long(MaxErrMsg + 1)}, ErrTooLong},
		{"request in parts", Message{Kind: KindRequest, Name: "n", More: true}, ErrMalformed},
		{"cancel in parts", Message{Kind: KindCancel, More: true}, ErrMalformed},
		{"unknown kind", Message{Kind: 6}, ErrMalformed},
		{"above a frame", Message{Kind: KindRequest, Name: "n", Body: make([]byte, MaxPayload)}, ErrTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := AppendMessage([]byte("x"), &test.m); !errors.Is(err, test.want) || string(got) != "x" {
				t.Errorf("encode: %q, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestDecodeIsStrict(t *testing.T) {
	good, err := AppendMessage(nil, &sampleMessages()[0])
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		m, err := DecodeMessage(good[:n])
		if err == nil {
			t.Errorf("%d of %d bytes are a message", n, len(good))
		}
		if n >= messageHead && (m.ID != 7 || m.Kind != KindRequest) {
			t.Errorf("%d bytes: kind %d, id %d", n, m.Kind, m.ID)
		}
	}
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	for _, test := range []struct {
		name    string
		payload []byte
		want    error
	}{
		{"bytes after the last field", append(bytes.Clone(good), 0), ErrMalformed},
		{"unknown flag", change(1, 2), ErrMalformed},
		{"parts of a request", change(1, 1), ErrMalformed},
		{"unknown kind", change(0, 99), ErrMalformed},
		{"kind 0", change(0, 0), ErrMalformed},
		{"empty name", change(10, 0), ErrMalformed},
		{"65535 pairs", change(26, 0xff), ErrTooLong},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := DecodeMessage(test.payload); !errors.Is(err, test.want) {
				t.Errorf("error is %v, want %v", err, test.want)
			}
		})
	}
}

func TestMeta(t *testing.T) {
	m := Meta{{"a", "1"}, {"b", "x"}}
	changed := m.With("a", "2").With("c", "3")
	if m.Get("a") != "1" || len(m) != 2 {
		t.Errorf("With changed its receiver: %v", m)
	}
	if changed.String() != "a=2 b=x c=3" {
		t.Errorf("With made %v", changed)
	}
	if n, ok, err := changed.Uint("c"); n != 3 || !ok || err != nil {
		t.Errorf("Uint: %d, %v, %v", n, ok, err)
	}
	if _, ok, err := m.Uint("zz"); ok || err != nil {
		t.Errorf("Uint of an absent key: %v, %v", ok, err)
	}
	for _, bad := range []string{"", "-1", "1.5", "99999999999999999999"} {
		if _, _, err := (Meta{{"k", bad}}).Uint("k"); !errors.Is(err, api.ErrBadRequest) {
			t.Errorf("Uint of %q: %v", bad, err)
		}
	}
	if s := (Meta{{api.MetaToken, "secret"}}).String(); strings.Contains(s, "secret") {
		t.Errorf("a token is printed: %s", s)
	}
}
