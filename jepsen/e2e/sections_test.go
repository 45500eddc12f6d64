package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// errFailed is an op-0 answer with code 1; its message follows.
var errFailed = errors.New("code 1")

// plainTimeout bounds an op-0 exchange: a keeper that loses its quorum has to
// find that out before it can answer.
const plainTimeout = 10 * time.Second

// plain sends one op-0 command as a client does that knows one keeper and no
// redirect, on a connection of its own, and returns the answer's payload.
func plain(ctx context.Context, address, cmd string, payload []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, plainTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	request := wire.AgentRequest{Cmd: []byte(cmd), Payload: payload}
	frame, err := wire.AppendFrame(nil, wire.OpAgent, wire.Mask{1, 2, 3, 4}, request.Append(nil))
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(frame); err != nil {
		return nil, err
	}
	_, body, err := wire.ReadFrame(conn, nil)
	if err != nil {
		return nil, err
	}
	answer, err := wire.DecodeAgentResponse(body)
	if err == nil && answer.Code != 0 {
		err = fmt.Errorf("%w: %s", errFailed, answer.Msg)
	}
	return answer.Payload, err
}

// plainPut stores a section by op 0.
func plainPut(ctx context.Context, address, id, section, data string) error {
	u := wire.UpdateRequest{ID: []byte(id), Section: []byte(section), Data: []byte(data)}
	_, err := plain(ctx, address, "update", u.Append(nil))
	return err
}

// plainGet reads a section by op 0.
func plainGet(ctx context.Context, address, id, section string) (string, error) {
	q := wire.QueryRequest{ID: []byte(id), Section: []byte(section)}
	payload, err := plain(ctx, address, "query", q.Append(nil))
	if err != nil {
		return "", err
	}
	answer, err := wire.DecodeQueryResponse(payload)
	return string(answer.Data), err
}

// newClient makes a client of all keepers, as zeroctl does.
func newClient(t *testing.T, f *fleet.Fleet) *transport.Client {
	t.Helper()
	var endpoints []string
	for _, k := range f.Keepers() {
		endpoints = append(endpoints, k.Addr())
	}
	c, err := transport.NewClient(transport.ClientConfig{Endpoints: endpoints, Hello: api.HelloRequest{Role: api.RoleOperator, ID: "e2e"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// putters write sections without a pause, each under a key of its own, and
// remember what was acknowledged.
type putters struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex
	acked  map[string]string // data by section, all of one id
	wrong  []error           // failures that a client must not see
	latest time.Time         // of the last acknowledgement
}

const putterID = "putters"

// startPutters starts two plain clients, two sessions of the redirecting client,
// and zeroctl in a loop.
func startPutters(t *testing.T, ctx context.Context, f *fleet.Fleet) *putters {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	p := &putters{stop: cancel, acked: map[string]string{}, latest: time.Now()}
	client := newClient(t, f)
	for i := range 2 {
		p.loop(ctx, fmt.Sprintf("plain%d", i), func(section, data string) error {
			keepers := f.Keepers()
			// A plain client may be told no, or nothing: it tries elsewhere then.
			if plainPut(ctx, keepers[rand.IntN(len(keepers))].Addr(), putterID, section, data) != nil {
				return errAgain
			}
			return nil
		})
		session := client.NewSession()
		p.loop(ctx, fmt.Sprintf("session%d", i), func(section, data string) error {
			body, err := json.Marshal(api.SectionRequest{ID: []byte(putterID), Section: []byte(section), Data: []byte(data)})
			if err != nil {
				return err
			}
			_, err = session.Do(ctx, api.SectionPut, nil, body)
			return err
		})
	}
	p.loop(ctx, "zeroctl", func(section, data string) error {
		result, err := f.Zeroctl(ctx, "section", "put", putterID, section, data)
		if err == nil && result.Code != 0 {
			err = fmt.Errorf("zeroctl section put: exit %d: %s", result.Code, result.Stderr)
		}
		return err
	})
	return p
}

// errAgain is a failure that a plain client has to live with.
var errAgain = errors.New("try again")

// loop puts until ctx ends.
func (p *putters) loop(ctx context.Context, name string, put func(section, data string) error) {
	p.wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			section, data := fmt.Sprintf("%s-%d", name, i), fmt.Sprintf("%s says %d", name, i)
			err := put(section, data)
			if ctx.Err() != nil {
				return // its outcome is not known
			}
			p.mu.Lock()
			switch {
			case err == nil:
				p.acked[section], p.latest = data, time.Now()
			case !errors.Is(err, errAgain):
				p.wrong = append(p.wrong, fmt.Errorf("%s: %w", section, err))
			}
			p.mu.Unlock()
			time.Sleep(2 * time.Millisecond) // the machine has others to serve
		}
	})
}

// count is how many puts were acknowledged, and when the last was.
func (p *putters) count() (int, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked), p.latest
}

// end stops the putters and fails the test for what no client may see.
func (p *putters) end(t *testing.T) {
	t.Helper()
	p.stop()
	p.wg.Wait()
	for _, err := range p.wrong {
		t.Errorf("a client that follows redirects and retries saw: %v", err)
	}
}

// verify fails the test unless every keeper has everything that was
// acknowledged in its own state, and all states are equal.
func (p *putters) verify(t *testing.T, ctx context.Context, f *fleet.Fleet) {
	t.Helper()
	client := newClient(t, f)
	sameState(t, ctx, f, client)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range f.Keepers() {
		missing := 0
		for section, want := range p.acked {
			got, err := staleGet(ctx, client, k.Addr(), putterID, section)
			if err != nil || got != want {
				t.Errorf("%s: section %s is %q (%v), want %q", k.Name(), section, got, err, want)
				if missing++; missing == 5 {
					break
				}
			}
		}
	}
}

// staleGet reads a section from one keeper's own state.
func staleGet(ctx context.Context, client *transport.Client, address, id, section string) (string, error) {
	body, err := json.Marshal(api.SectionRequest{ID: []byte(id), Section: []byte(section)})
	if err != nil {
		return "", err
	}
	resp, err := client.CallAt(ctx, address, api.SectionGet, wire.Meta{{Key: api.MetaConsistency, Value: "stale"}}, body)
	if err != nil {
		return "", err
	}
	var answer api.SectionAnswer
	err = json.Unmarshal(resp.Data, &answer)
	return string(answer.Data), err
}

// sameState waits until every keeper has applied the same entries, and fails the
// test if their states differ then.
func sameState(t *testing.T, ctx context.Context, f *fleet.Fleet, client *transport.Client) {
	t.Helper()
	eventually(t, ctx, 10*time.Second, "the keepers' states", func(ctx context.Context) error {
		var first api.NodeStatusAnswer
		for i, k := range f.Keepers() {
			resp, err := client.CallAt(ctx, k.Addr(), api.NodeStatus, nil, []byte("{}"))
			if err != nil {
				return err
			}
			var status api.NodeStatusAnswer
			if err := json.Unmarshal(resp.Data, &status); err != nil {
				return err
			}
			if i == 0 {
				first = status
			}
			if status.HashIndex != first.HashIndex {
				return fmt.Errorf("%s is at %d, %s at %d", status.Name, status.HashIndex, first.Name, first.HashIndex)
			}
			if status.Hash != first.Hash {
				t.Fatalf("at index %d the state of %s is %s, that of %s is %s", status.HashIndex, status.Name, status.Hash, first.Name, first.Hash)
			}
		}
		return nil
	})
}
