// Package hook tells the outside of a switch: it runs a program, or posts to a
// webhook, once, within a bounded time.
//
// # What a hook gets
//
// A program gets the event as JSON on its standard input and as environment
// variables, nothing else of the keeper's environment but a fixed PATH:
//
//	ZERO_HOOK ZERO_EVENT ZERO_ID ZERO_SWITCH ZERO_GENERATION ZERO_STEP ZERO_GROUP
//	ZERO_CLUSTER ZERO_KIND ZERO_FROM ZERO_TO ZERO_FROM_INDEX ZERO_TO_INDEX
//	ZERO_REASON ZERO_REQUESTED_BY ZERO_ERROR ZERO_TIME ZERO_KEEPER
//
// A webhook gets the same JSON by POST. With a secret the request has the header
//
//	X-Zero-Signature: sha256=<hex of HMAC-SHA256(secret, body)>
//
// # Invariants
//
// A hook is over at its deadline: a program's process group is killed, a request
// given up. No shell is involved. Output beyond maxOutput is read and dropped. No
// redirect is followed. Neither a URL nor a secret gets into an error or a note.
package hook
