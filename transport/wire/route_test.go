package wire

import (
	"errors"
	"slices"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
)

func TestInvokeRoute(t *testing.T) {
	var route InvokeRoute
	first, _ := invokers(t, Config{}, Config{Handler: echo})
	second, _ := invokers(t, Config{}, Config{Handler: echo})

	_, err := route.Call(t.Context(), "p1", "Echo", nil, nil)
	if code, _ := api.CodeOf(err); !errors.Is(err, ErrNotConnected) || !errors.Is(err, ErrNotSent) || code != api.NetConnect {
		t.Errorf("an unknown terminal: %v", err)
	}
	if err := route.Send(t.Context(), "p1", "Echo", nil, nil); !errors.Is(err, ErrNotConnected) {
		t.Errorf("send to an unknown terminal: %v", err)
	}
	if replaced := route.Register("p1", first); replaced != nil {
		t.Error("the first registration replaced something")
	}
	if replaced := route.Register("p1", first); replaced != nil {
		t.Error("an invoker replaced itself")
	}
	if replaced := route.Register("p1", second); replaced != first {
		t.Error("the replaced invoker was not returned")
	}
	if route.Remove("p1", first) {
		t.Error("the late end of the first removed the second")
	}
	if inv, ok := route.Get("p1"); !ok || inv != second {
		t.Error("p1 is not the second")
	}
	route.Register("a1", first)
	if ids := route.IDs(); !slices.Equal(ids, []string{"a1", "p1"}) {
		t.Errorf("ids %v", ids)
	}
	if resp, err := route.Call(t.Context(), "p1", "Echo", nil, []byte("x")); err != nil || string(resp.Data) != "x" {
		t.Errorf("%+v, %v", resp, err)
	}
	if err := route.Send(t.Context(), "p1", "Echo", nil, nil); err != nil {
		t.Errorf("send: %v", err)
	}
	if !route.Remove("p1", second) || route.Remove("p1", second) {
		t.Error("p1 was not removed once")
	}
}
