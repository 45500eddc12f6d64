package ctl

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
)

// store is a fake that keeps sections.
func store() *fake {
	kept := map[string][]byte{}
	f := &fake{}
	f.handlers = map[string]handler{
		api.SectionPut: func(body []byte) (any, error) {
			var r api.SectionRequest
			if err := json.Unmarshal(body, &r); err != nil {
				return nil, err
			}
			kept[string(r.ID)+"|"+string(r.Section)] = r.Data
			return api.SectionPutAnswer{Version: 1, Index: 1}, nil
		},
		api.SectionGet: func(body []byte) (any, error) {
			var r api.SectionRequest
			if err := json.Unmarshal(body, &r); err != nil {
				return nil, err
			}
			data, ok := kept[string(r.ID)+"|"+string(r.Section)]
			if !ok {
				return nil, &api.Error{Code: api.KeyMissing, Msg: "no such section"}
			}
			return api.SectionAnswer{Data: data, Timestamp: moment.Unix(), Index: 1}, nil
		},
	}
	return f
}

// TestSectionsAreBinarySafe puts every byte and gets it back, in each way that
// data goes in and out.
func TestSectionsAreBinarySafe(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	all = append(all, '\n')
	f := store()
	for _, put := range []struct {
		name  string
		stdin string
		args  []string
	}{
		{"standard input", string(all), []string{"section", "put", "id", "s"}},
		{"dash", string(all), []string{"section", "put", "id", "s", "-"}},
		{"hex", "", []string{"section", "put", "--hex", hex.EncodeToString([]byte("id")), hex.EncodeToString([]byte("s")), hex.EncodeToString(all)}},
		{"hex from standard input", hex.EncodeToString(all) + "\n", []string{"section", "put", "--hex", hex.EncodeToString([]byte("id")), hex.EncodeToString([]byte("s")), "-"}},
	} {
		t.Run(put.name, func(t *testing.T) {
			if got := (run{fake: f, stdin: put.stdin}).do(put.args...); got.code != 0 {
				t.Fatalf("exit %d: %s", got.code, got.err)
			}
			if got := (run{fake: f}).do("section", "get", "id", "s"); got.out != string(all) {
				t.Errorf("got %d bytes, want %d: %q", len(got.out), len(all), got.out)
			}
			if got := (run{fake: f}).do("section", "get", "--hex", "6964", "73"); got.out != hex.EncodeToString(all)+"\n" {
				t.Errorf("--hex: %s", got.out)
			}
			var answer api.SectionAnswer
			if got := (run{fake: f}).do("section", "get", "id", "s", "-o", "json"); json.Unmarshal([]byte(got.out), &answer) != nil || !bytes.Equal(answer.Data, all) {
				t.Errorf("json: %s", got.out)
			}
		})
	}
	if got := (run{fake: f}).do("section", "put", "--hex", "00ff", "01", ""); got.code != 0 {
		t.Errorf("empty data: exit %d: %s", got.code, got.err)
	}
	if got := (run{fake: f}).do("section", "get", "--hex", "00ff", "01", "--info"); got.code != 0 || got.out != "\n" || !strings.Contains(got.err, "index 1, 0 bytes") {
		t.Errorf("empty data: exit %d: %q %s", got.code, got.out, got.err)
	}
}

func TestSectionsOnATerminal(t *testing.T) {
	f := store()
	if got := (run{fake: f}).do("section", "put", "id", "s", "a\x1b[2Jb"); got.code != 0 {
		t.Fatal(got.err)
	}
	if got := (run{fake: f, tty: true}).do("section", "get", "id", "s"); got.out != "a\\x1b[2Jb\n" {
		t.Errorf("a terminal gets %q", got.out)
	}
}

func TestBadSections(t *testing.T) {
	large := strings.Repeat("x", maxSection+1)
	for _, test := range []struct {
		name  string
		stdin string
		args  []string
		exit  int
		say   string
	}{
		{"missing", "", []string{"section", "get", "id", "s"}, ExitBadInput, "no such section"},
		{"hex id", "", []string{"section", "get", "--hex", "xx", "00"}, ExitBadInput, "ID is not hexadecimal"},
		{"hex section", "", []string{"section", "get", "--hex", "00", "0"}, ExitBadInput, "SECTION is not hexadecimal"},
		{"hex data", "zz", []string{"section", "put", "--hex", "00", "00", "-"}, ExitBadInput, "the standard input is not hexadecimal"},
		{"large", large, []string{"section", "put", "id", "s", "-"}, ExitBadInput, "more than"},
		{"large argument", "", []string{"section", "put", "id", "s", large}, ExitBadInput, "at most"},
		{"too many", "", []string{"section", "put", "id", "s", "a", "b"}, ExitUsage, "accepts between"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := store()
			got := run{fake: f, stdin: test.stdin}.do(test.args...)
			if got.code != test.exit || !strings.Contains(got.err, test.say) {
				t.Errorf("exit %d, want %d with %q: %s", got.code, test.exit, test.say, got.err)
			}
		})
	}
}
