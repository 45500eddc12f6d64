package dbclient

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// greetingOf is a server's greeting with that salt and those capabilities.
func greetingOf(salt []byte, caps uint32) []byte {
	p := append([]byte{10}, "10.11\x00"...)
	p = append(p, 1, 0, 0, 0)
	p = append(append(p, salt[:8]...), 0, byte(caps), byte(caps>>8), utf8mb4, 2, 0, byte(caps>>16), byte(caps>>24), saltSize+1)
	p = append(append(p, make([]byte, 10)...), salt[8:]...)
	return append(append(append(p, 0), plugin...), 0)
}

// lenenc is a length-encoded string of fewer than 251 bytes.
func lenenc(s string) []byte { return append([]byte{byte(len(s))}, s...) }

// committed is the OK packet of a commit.
func committed(gtid string) []byte {
	pair := append(lenenc("last_gtid"), lenenc(gtid)...)
	change := append([]byte{trackVariables}, lenenc(string(pair))...)
	p := []byte{headOK, 1, 0, 2, 0x40, 0, 0}
	return append(append(p, lenenc("")...), lenenc(string(change))...)
}

// serve plays a server on one end of a pipe: it greets, lets anybody in who knows the password, and answers each
// statement with the next answer; nil is silence.
func serve(t *testing.T, caps uint32, answers ...[]byte) Config {
	t.Helper()
	client, server := net.Pipe()
	salt := []byte("abcdefghijklmnopqrst")
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer server.Close()
		_, _ = server.Write(appendPacket(nil, 0, greetingOf(salt, caps)))
		p, seq, err := readPacket(server)
		if err != nil {
			return
		}
		answer := []byte{headOK, 0, 0, 2, 0, 0, 0}
		if !bytes.Contains(p, scramble(salt, "secret")) {
			answer = append([]byte{headERR, 0x15, 0x04}, "#28000denied"...)
		}
		_, _ = server.Write(appendPacket(nil, seq+1, answer))
		for _, answer := range answers {
			if _, _, err := readPacket(server); err != nil || answer == nil {
				continue
			}
			_, _ = server.Write(appendPacket(nil, 1, answer))
		}
		_, _, _ = readPacket(server) // until it is closed
	}()
	t.Cleanup(func() { <-done })
	t.Cleanup(func() { _ = client.Close() })
	return Config{Addr: "pipe", User: "app", Password: "secret", Dial: func(context.Context, string, string) (net.Conn, error) { return client, nil }}
}

func TestExec(t *testing.T) {
	cfg := serve(t, 0xffffffff, committed("0-2-17"), append([]byte{headERR, 0x0a, 0x05}, "#HY000read-only"...), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := Dial(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ok, err := c.Exec(ctx, "INSERT")
	if err != nil || ok.GTID() != "0-2-17" || ok.Affected != 1 {
		t.Errorf("%+v, %v", ok, err)
	}
	_, err = c.Exec(ctx, "INSERT")
	if e, answered := errors.AsType[*Error](err); !answered || e.Code != 1290 || e.State != "HY000" || e.Message != "read-only" {
		t.Errorf("%v", err)
	}
	short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	if _, err = c.Exec(short, "INSERT"); err == nil {
		t.Error("no answer came, and it was done")
	} else if _, answered := errors.AsType[*Error](err); answered {
		t.Errorf("no answer came, and it is %v", err)
	}
	if _, err = c.Exec(ctx, "INSERT"); !errors.Is(err, ErrClosed) {
		t.Errorf("after a statement without an answer: %v", err)
	}
}

func TestDialRefuses(t *testing.T) {
	for _, test := range []struct {
		name, password string
		caps           uint32
	}{
		{"wrong password", "guess", 0xffffffff}, {"no tracking", "secret", ^uint32(capSessionTrack)},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := serve(t, test.caps)
			cfg.Password = test.password
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if c, err := Dial(ctx, cfg); err == nil {
				c.Close()
				t.Error("logged in")
			}
		})
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(committed("0-1-4"))
	f.Add([]byte{headOK, 0, 0, 2, 0, 0, 0})
	f.Add([]byte{headERR, 0x0a, 0x05, '#', 'H'})
	f.Add([]byte{headOK, 0xfe, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		ok, err := parseAnswer(p)
		if err != nil && ok.GTID() == "" {
			return
		}
		if len(ok.GTID()) > len(p) {
			t.Errorf("%d bytes held a GTID of %d", len(p), len(ok.GTID()))
		}
	})
}
