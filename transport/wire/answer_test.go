package wire

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
)

// testAnswer stands for MaxAnswer, of which each test would take seconds.
const testAnswer = 5*MaxPayload + 1

func serveLimited(t *testing.T, conn net.Conn, cfg Config) *Invoker {
	t.Helper()
	inv, err := NewInvoker(conn, Principal{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if inv.maxAnswer != MaxAnswer {
		t.Errorf("the limit is %d", inv.maxAnswer)
	}
	inv.maxAnswer = testAnswer
	start(t, inv)
	return inv
}

func TestAnswersInParts(t *testing.T) {
	sizes := []int{0, 1, MaxPayload - responseHead - 2, MaxPayload - responseHead - 1, MaxPayload, 3*MaxPayload + 17, testAnswer}
	data := make([]byte, testAnswer)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	handler := Handlers{
		"Size": func(_ context.Context, req *Request) (*Response, error) {
			n, _, err := req.Meta.Uint("n")
			return &Response{Data: data[:n]}, err
		},
		"Fail": func(context.Context, *Request) (*Response, error) {
			return nil, &api.Error{Code: api.Compacted, Msg: "too old", Data: string(data[:2*MaxPayload])}
		},
		"Above": func(context.Context, *Request) (*Response, error) {
			return &Response{Data: make([]byte, testAnswer+1)}, nil
		},
		"Echo": echo,
	}
	connA, connB := tcpPair(t)
	a := serveLimited(t, connA, Config{})
	serveLimited(t, connB, Config{Handler: handler.Serve})
	var wg sync.WaitGroup
	for _, size := range sizes {
		wg.Go(func() {
			resp, err := a.Call(t.Context(), "Size", Meta{}.With("n", strconv.Itoa(size)), nil)
			if err != nil {
				t.Errorf("%d bytes: %v", size, err)
			} else if !bytes.Equal(resp.Data, data[:size]) {
				t.Errorf("%d bytes came back as %d", size, len(resp.Data))
			}
		})
	}
	for range 20 { // small ones in between
		wg.Go(func() {
			if _, err := a.Call(t.Context(), "Echo", nil, []byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if a.assembling != 0 {
		t.Errorf("%d bytes are still accounted for", a.assembling)
	}

	_, err := a.Call(t.Context(), "Fail", nil, nil)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.Compacted || e.Msg != "too old" || len(e.Data) != 2*MaxPayload {
		t.Errorf("an error with data in parts: %v", err)
	}
	if _, err := a.Call(t.Context(), "Above", nil, nil); !errors.Is(err, api.ErrTooLarge) {
		t.Errorf("above the limit: %v", err)
	}
}

// TestEndlessAnswerIsCut has a peer that sends parts for ever.
func TestEndlessAnswerIsCut(t *testing.T) {
	connA, connB := tcpPair(t)
	a := serveLimited(t, connA, Config{})
	go func() {
		m := readMessage(t, connB)
		piece := make([]byte, MaxPayload-responseHead-2)
		frame := rawFrame(t, &Message{Kind: KindResponse, More: true, ID: m.ID, Data: piece})
		for {
			if _, err := connB.Write(frame); err != nil {
				return
			}
			frame = rawFrame(t, &Message{Kind: KindPart, More: true, ID: m.ID, Data: piece})
		}
	}()
	if _, err := a.Call(t.Context(), "Endless", nil, nil); !errors.Is(err, api.ErrTooLarge) {
		t.Errorf("%v", err)
	}
	if a.assembling != 0 {
		t.Errorf("%d bytes are still accounted for", a.assembling)
	}
	if a.Err() != nil {
		t.Errorf("the connection ended: %v", a.Err())
	}
}

func TestAnswerProtocol(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []Message // to the call's id
		want    error     // of the call
		ends    bool      // of the connection
	}{
		{"given up within its parts", []Message{
			{Kind: KindResponse, More: true, Data: []byte("a")},
			{Kind: KindPart, More: true, Data: []byte("b")},
			{Kind: KindResponse, Code: api.Deadline, ErrMsg: "late"},
		}, api.ErrDeadline, false},
		{"part without a beginning", []Message{{Kind: KindPart, Data: []byte("b")}}, api.ErrOutcomeUnknown, true},
		{"second answer within the first", []Message{
			{Kind: KindResponse, More: true}, {Kind: KindResponse},
		}, api.ErrOutcomeUnknown, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			connA, connB := tcpPair(t)
			a := serve(t, connA, Principal{}, Config{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				id := readMessage(t, connB).ID
				for _, m := range test.answers {
					m.ID = id
					if _, err := connB.Write(rawFrame(t, &m)); err != nil {
						t.Error(err)
					}
				}
			}()
			if _, err := a.Call(t.Context(), "N", nil, nil); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			<-done
			if test.ends {
				<-a.Done()
				if !errors.Is(a.Err(), ErrProtocol) {
					t.Errorf("ended with %v", a.Err())
				}
			} else if a.Err() != nil {
				t.Errorf("ended with %v", a.Err())
			}
		})
	}
}
