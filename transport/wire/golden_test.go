package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// goldenFile is testdata/frames.json: frames that the original's encoder made.
type goldenFile struct {
	Frames     []goldenFrame `json:"frames"`
	EdgeFrames []goldenFrame `json:"edgeFrames"`
	Variants   []goldenFrame `json:"variantsNotToImplement"`
}

type goldenFrame struct {
	Name   string `json:"name"`
	Hex    string `json:"hex"`
	Expect string `json:"expect"`
	Header struct {
		Checksum        string `json:"checkSum"`
		Version         byte   `json:"version"`
		Op              byte   `json:"op"`
		MaskHex         string `json:"maskHex"`
		PayloadLen      int    `json:"payloadLen"`
		PayloadPlainHex string `json:"payloadPlainHex"`
	} `json:"header"`
	Fields map[string]json.RawMessage `json:"fields"`
}

func loadGolden(t testing.TB) goldenFile {
	t.Helper()
	b, err := os.ReadFile("testdata/frames.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldenFile
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Frames) != 10 || len(g.EdgeFrames) != 7 || len(g.Variants) != 2 {
		t.Fatalf("%d frames, %d edge frames, %d variants; want 10, 7, 2", len(g.Frames), len(g.EdgeFrames), len(g.Variants))
	}
	return g
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// bytesField is a field that is either a string or {"hex": …}.
func (f *goldenFrame) bytesField(t *testing.T, name string) []byte {
	t.Helper()
	raw, ok := f.Fields[name]
	if !ok {
		t.Fatalf("%s has no field %s", f.Name, name)
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []byte(text)
	}
	var h struct{ Hex string }
	if err := json.Unmarshal(raw, &h); err != nil {
		t.Fatal(err)
	}
	return unhex(t, h.Hex)
}

func (f *goldenFrame) intField(t *testing.T, name string) int64 {
	t.Helper()
	var n int64
	if err := json.Unmarshal(f.Fields[name], &n); err != nil {
		t.Fatalf("%s: field %s: %v", f.Name, name, err)
	}
	return n
}

func TestGoldenFrames(t *testing.T) {
	for _, f := range loadGolden(t).Frames {
		t.Run(f.Name, func(t *testing.T) {
			want, plain := unhex(t, f.Hex), unhex(t, f.Header.PayloadPlainHex)
			h, payload, err := ReadFrame(bytes.NewReader(want), nil)
			if err != nil {
				t.Fatal(err)
			}
			mask := Mask(unhex(t, f.Header.MaskHex))
			if h.Version != f.Header.Version || h.Op != f.Header.Op || h.Mask != mask || h.PayloadLen != f.Header.PayloadLen {
				t.Errorf("header is %+v, want %+v", h, f.Header)
			}
			if sum := "0x" + hex.EncodeToString([]byte{h.Checksum}); sum != f.Header.Checksum {
				t.Errorf("checksum is %s, want %s", sum, f.Header.Checksum)
			}
			if !bytes.Equal(payload, plain) {
				t.Errorf("payload is %x, want %x", payload, plain)
			}
			got, err := AppendFrame(nil, h.Op, mask, plain)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("encoded as %x, %v; want %x", got, err, want)
			}
		})
	}
}

// TestGoldenBodies decodes every body by its fields and encodes it again.
func TestGoldenBodies(t *testing.T) {
	for _, f := range loadGolden(t).Frames {
		if len(f.Fields) == 0 {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			plain := unhex(t, f.Header.PayloadPlainHex)
			var got []byte
			switch {
			case f.Header.Op == OpTraffic:
				q, err := DecodeTrafficRequest(plain)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "service", q.Service, f.bytesField(t, "proxyServiceName"))
				equal(t, "field", q.Field, f.bytesField(t, "field"))
				equal(t, "token", q.Token, f.bytesField(t, "token"))
				if q.Operation != int32(f.intField(t, "op")) {
					t.Errorf("operation %d", q.Operation)
				}
				got = q.Append(nil)
			case strings.Contains(f.Name, "response"):
				got = goldenResponse(t, &f, plain)
			default:
				got = goldenRequest(t, &f, plain)
			}
			equal(t, "encoded", got, plain)
		})
	}
}

func goldenRequest(t *testing.T, f *goldenFrame, plain []byte) []byte {
	q, err := DecodeAgentRequest(plain)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "cmd", q.Cmd, f.bytesField(t, "cmd"))
	if q.Version != int32(f.intField(t, "version")) {
		t.Errorf("version %d", q.Version)
	}
	equal(t, "payload", q.Payload, unhex(t, string(f.bytesField(t, "payloadHex"))))
	if string(q.Cmd) == CmdQuery {
		body, err := DecodeQueryRequest(q.Payload)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "id", body.ID, f.bytesField(t, "id"))
		equal(t, "section", body.Section, f.bytesField(t, "section"))
		q.Payload = body.Append(nil)
	} else {
		body, err := DecodeUpdateRequest(q.Payload)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "id", body.ID, f.bytesField(t, "id"))
		equal(t, "section", body.Section, f.bytesField(t, "section"))
		equal(t, "data", body.Data, f.bytesField(t, "data"))
		q.Payload = body.Append(nil)
	}
	return q.Append(nil)
}

func goldenResponse(t *testing.T, f *goldenFrame, plain []byte) []byte {
	a, err := DecodeAgentResponse(plain)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "cmd", a.Cmd, f.bytesField(t, "cmd"))
	equal(t, "msg", a.Msg, f.bytesField(t, "msg"))
	if a.Code != int32(f.intField(t, "code")) {
		t.Errorf("code %d", a.Code)
	}
	if string(a.Cmd) == CmdQuery {
		body, err := DecodeQueryResponse(a.Payload)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "data", body.Data, f.bytesField(t, "data"))
		if body.Timestamp != f.intField(t, "timestamp") {
			t.Errorf("timestamp %d", body.Timestamp)
		}
		a.Payload = body.Append(nil)
	}
	return a.Append(nil)
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s is %x, want %x", what, got, want)
	}
}

// TestVariantsAreNotProduced holds the encoder to the seed where the original's
// commits differ from it.
func TestVariantsAreNotProduced(t *testing.T) {
	body := QueryRequest{ID: []byte("host-1"), Section: []byte("status")}
	q := AgentRequest{Cmd: []byte(CmdQuery), Payload: body.Append(nil)}
	got, err := AppendFrame(nil, OpAgent, Mask{0x11, 0x22, 0x33, 0x44}, q.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	g := loadGolden(t)
	for _, v := range g.Variants {
		if bytes.Equal(got, unhex(t, v.Hex)) {
			t.Errorf("%s is what we produce", v.Name)
		}
		if _, payload, err := ReadFrame(bytes.NewReader(unhex(t, v.Hex)), nil); err == nil {
			if r, err := DecodeAgentRequest(payload); err == nil && string(r.Cmd) == CmdQuery {
				t.Errorf("%s is read as a query", v.Name)
			}
		}
	}
	for _, f := range g.Frames {
		if f.Name == "agent_query_request" {
			equal(t, "query", got, unhex(t, f.Hex))
		}
	}
}
