// Package relay breaks TCP connections with nothing but loopback: what is left of fault.Net without any rights (tier C),
// and, in every tier, the loss of answers.
//
// Net gives each node an address of its own in 127.77.0.0/16 and puts a relay into each directed pair of nodes. A node
// dials its peers through its relays, which it is told of by DialMap: pairs "address=relay address", separated by commas.
// What node i sends to node j is ruled by the pair (i, j), whoever of the two has dialled.
//
// Dropper is a relay to one server that breaks the connection when an answer is due: the request was carried out, and the
// client does not know.
//
// # Invariants
//
//   - A cut looks like a lost network, not like a dead peer: connections stay open, new ones are accepted by the relay
//     and reach nobody, and also the end of a connection passes only when the cut is healed.
//   - Bytes that pass do so in order. Above TCP nothing can be lost, doubled or reordered: such rules are
//     fault.ErrUnsupported.
//   - What is under way is bounded: pieces of at most 16 KiB, 64 of them in each direction of a connection, and 1024
//     connections for each relay. A sender that is faster waits, as it would for a slow receiver.
//   - Close ends and waits for everything.
package relay
