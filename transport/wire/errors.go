package wire

import (
	"errors"
	"fmt"

	"github.com/zerokeeper/zero/transport/api"
)

// Why a connection or a call ended.
var (
	// ErrNotSent: the request surely did not reach the other side, since not all
	// of its bytes left this process. It may be sent again elsewhere.
	ErrNotSent = errors.New("not sent")
	// ErrClosed: the invoker was closed on this side.
	ErrClosed = errors.New("invoker is closed")
	// ErrPeerSilent: nothing came from the peer, not even an answer to a ping.
	ErrPeerSilent = errors.New("the peer is silent")
	// ErrProtocol: the peer sent what op 2 does not allow.
	ErrProtocol = errors.New("protocol violation")
	// ErrOverload: the peer does not read its answers and asks for more.
	ErrOverload = errors.New("the peer does not read its answers")
	// ErrNotConnected: the terminal has no invoker in the route.
	ErrNotConnected = errors.New("terminal is not connected")
)

// connError is a connection's end as the cause of a call's failure. Its code, where
// nothing in the chain has a better one, is NetConnect.
type connError struct{ reason error }

func (e *connError) Error() string { return e.reason.Error() }

func (e *connError) Unwrap() []error {
	return []error{e.reason, &api.Error{Code: api.NetConnect, Msg: e.reason.Error()}}
}

// notSent is the failure of a request that cannot have reached the peer.
func notSent(name string, reason error) error {
	return fmt.Errorf("call %s: %w: %w", name, ErrNotSent, reason)
}

// outcomeUnknown is the failure of a request that may have reached the peer.
func outcomeUnknown(name string, reason error) error {
	return fmt.Errorf("call %s: %w: %w", name, api.ErrOutcomeUnknown, reason)
}
