package mysql

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
)

func TestLenenc(t *testing.T) {
	for _, v := range []uint64{0, 1, 0xfa, 0xfb, 0xff, 1<<16 - 1, 1 << 16, 1<<24 - 1, 1 << 24, 1<<64 - 1} {
		b := appendLenenc(nil, v)
		got, n, err := readLenenc(b)
		if err != nil || got != v || n != len(b) {
			t.Errorf("%d came back as %d, %d of %d bytes, %v", v, got, n, len(b), err)
		}
		for i := range b {
			if _, _, err := readLenenc(b[:i]); !errors.Is(err, errMalformed) {
				t.Errorf("%d cut to %d bytes: %v, want errMalformed", v, i, err)
			}
		}
	}
	for _, b := range [][]byte{{0xfb}, {0xff}} {
		if _, _, err := readLenenc(b); !errors.Is(err, errMalformed) {
			t.Errorf("% x: %v, want errMalformed", b, err)
		}
	}
}

func TestNativePassword(t *testing.T) {
	salt, _ := hex.DecodeString("4d5e2b1f0a3c7e11223344556677010203040506")
	good := nativeResponse(salt, "secret")
	tests := []struct {
		name     string
		response []byte
		password string
		want     bool
	}{
		{"right", good, "secret", true},
		{"wrong password", nativeResponse(salt, "Secret"), "secret", false},
		{"other salt", nativeResponse(salt[1:], "secret"), "secret", false},
		{"cut short", good[:19], "secret", false},
		{"empty answer", nil, "secret", false},
		{"no password, no answer", nil, "", true},
		{"no password, an answer", good, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := verifyNative(salt, tt.response, tt.password); got != tt.want {
				t.Errorf("verifyNative = %v, want %v", got, tt.want)
			}
		})
	}
	for range 200 {
		salt := newSalt()
		if len(salt) != saltSize || bytes.ContainsAny(salt, "\x00$") || bytes.ContainsFunc(salt, func(r rune) bool { return r > 0x7f }) {
			t.Fatalf("salt % x has bytes that clients cannot read", salt)
		}
	}
}

func TestGreetingRoundTrip(t *testing.T) {
	want := greeting{version: "10.11.0-MariaDB-zero", connectionID: 0x81020304, salt: newSalt(), caps: capAdvertised,
		collation: 45, status: statusAutocommit, plugin: pluginNative}
	p := appendGreeting(nil, want)
	got, err := parseGreeting(p)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("came back as %+v, %v", got, err)
	}
	for i := range len(p) - len(pluginNative) - 1 {
		if _, err := parseGreeting(p[:i]); err == nil {
			t.Errorf("a greeting cut to %d bytes was accepted", i)
		}
	}
	_, err = parseGreeting(appendERR(nil, &MySQLError{Code: codeConCount, Message: "Too many connections"}))
	var e *MySQLError
	if !errors.As(err, &e) || e.Code != codeConCount || e.Message != "Too many connections" || e.State != "" {
		t.Errorf("ERR instead of a greeting: %v", err)
	}
}

func TestHandshakeResponseRoundTrip(t *testing.T) {
	attrs := []byte("\x03foo\x03bar")
	tests := []struct {
		name string
		r    handshakeResponse
	}{
		{"all", handshakeResponse{caps: capAdvertised, maxPacket: 1 << 24, collation: 45, user: "app", auth: newSalt(),
			database: "shop", plugin: pluginNative, attrs: attrs}},
		{"no lenenc", handshakeResponse{caps: capAdvertised &^ capAuthLenenc, collation: 8, user: "app", auth: newSalt(),
			database: "shop", plugin: "caching_sha2_password", attrs: attrs}},
		{"bare", handshakeResponse{caps: capProtocol41 | capSecureConn, user: "u", auth: []byte{}}},
		{"no secure connection", handshakeResponse{caps: capProtocol41, user: "u", auth: []byte("x")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseHandshakeResponse(appendHandshakeResponse(nil, tt.r))
			if err != nil || !reflect.DeepEqual(got, tt.r) {
				t.Errorf("came back as %+v, %v\nwant %+v", got, err, tt.r)
			}
		})
	}
	for name, p := range map[string][]byte{
		"empty":        nil,
		"old protocol": appendHandshakeResponse(nil, handshakeResponse{caps: capSecureConn, user: "u"}),
		"tls request":  appendHandshakeResponse(nil, handshakeResponse{caps: capProtocol41 | capSSL})[:32],
		"huge name": appendHandshakeResponse(nil, handshakeResponse{caps: capProtocol41 | capSecureConn,
			user: string(bytes.Repeat([]byte("x"), maxNameBytes+1))}),
	} {
		if _, err := parseHandshakeResponse(p); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v, want errMalformed", name, err)
		}
	}
}

func TestErrorPacket(t *testing.T) {
	for _, want := range []*MySQLError{
		{Code: 1290, State: "HY000", Message: "read only"},
		{Code: 1040, Message: "Too many connections"},
		{Code: 1, State: "00000", Message: ""},
	} {
		got, err := parseERR(appendERR(nil, want))
		if err != nil || *got != *want {
			t.Errorf("%v came back as %v, %v", want, got, err)
		}
	}
	for _, p := range [][]byte{nil, {headERR}, {headERR, 1}, {headOK, 1, 2, 3}} {
		if _, err := parseERR(p); !errors.Is(err, errMalformed) {
			t.Errorf("% x: %v, want errMalformed", p, err)
		}
	}
}

func FuzzLogin(f *testing.F) {
	f.Add(appendGreeting(nil, greeting{version: "8", salt: newSalt(), caps: capAdvertised, plugin: "p"}), uint32(capAdvertised))
	f.Add(appendHandshakeResponse(nil, handshakeResponse{caps: capAdvertised, user: "u", auth: newSalt(), database: "d",
		plugin: pluginNative, attrs: []byte("\x01a\x01b")}), uint32(capAdvertised))
	f.Add([]byte("\x11user\x00\x00db\x00\x2d\x00mysql_native_password\x00\x00"), uint32(capAdvertised))
	f.Add(appendAuthSwitch(nil, authSwitch{pluginNative, newSalt()}), uint32(0))
	f.Add(appendERR(nil, &MySQLError{Code: 1, State: "HY000", Message: "m"}), uint32(0))
	f.Fuzz(func(t *testing.T, p []byte, caps uint32) {
		if g, err := parseGreeting(p); err == nil && len(g.salt) != saltSize {
			t.Errorf("salt of %d bytes", len(g.salt))
		}
		if r, err := parseHandshakeResponse(p); err == nil {
			again, err := parseHandshakeResponse(appendHandshakeResponse(nil, r))
			if err != nil || again.user != r.user || again.database != r.database || !bytes.Equal(again.auth, r.auth) {
				t.Errorf("%+v did not survive being written and read: %+v, %v", r, again, err)
			}
		}
		_, _ = parseChangeUser(p, caps)
		_, _ = parseAuthSwitch(p)
	})
}

func FuzzResultPackets(f *testing.F) {
	f.Add(appendOK(nil, statusAutocommit))
	f.Add([]byte{headEOF, 0, 0, 2, 0})
	f.Add([]byte{headEOF, 0, 0, 2, 0, 0, 0})
	f.Add(appendERR(nil, &MySQLError{Code: 1290, State: "HY000", Message: "m"}))
	f.Add(appendLenenc(nil, 1<<40))
	f.Fuzz(func(t *testing.T, p []byte) {
		_, _ = parseOK(p)
		_, _ = parseEOF(p)
		if e, err := parseERR(p); err == nil && !bytes.Equal(appendERR(nil, e), p) {
			t.Errorf("% x was written back as % x", p, appendERR(nil, e))
		}
		if v, n, err := readLenenc(p); err == nil {
			if back, _, err := readLenenc(appendLenenc(nil, v)); err != nil || back != v || n > len(p) {
				t.Errorf("% x: %d came back as %d, %v", p, v, back, err)
			}
		}
	})
}
