// Package mysql is the data plane: it serves MySQL and MariaDB clients and relays their commands to the writable
// datasource of their host group, holding what writes while that datasource is being switched.
//
// # What it is made of
//
// A [Server] accepts clients and runs one session, in one goroutine, for each. A session logs its client in
// (clientauth.go), reads commands (session.go, dispatch.go), finds out what a statement does (token.go,
// classify*.go), gets a ticket of the host group's gate and a server connection (admit.go), sends the command and
// passes the answer on (exchange.go, relay.go), and remembers what makes the session what it is, so that it can go
// on on another server (state.go, restore.go, stmt.go).
//
// # Invariants
//
//   - What may write, or opens a transaction, is sent only under a ticket of package gate. The ticket is kept until
//     the result was relayed and the server has said that no transaction is open.
//   - No statement that may write is sent twice. A command is started anew only if no byte of it went out, or if it
//     changes nothing outside of its connection, was not in a transaction, and no byte of an answer came back.
//   - The packet that acknowledges a write is passed on only while the lease lives and the gate still names the
//     primary that it came from (R12c); else it is kept until they do again, or the client is told that the outcome
//     is unknown.
//   - The end of a lease ends open transactions and running writes (R12d).
//   - Packets of an answer are passed on as they came, but for the statement id in the answer to a prepare.
//   - Whatever a peer sends is bounded before memory is taken for it.
//
// # The protocol, as far as it is relied on
//
// Source: "MySQL Client/Server Protocol" (dev.mysql.com, internals documentation) and "Client/Server Protocol"
// (mariadb.com knowledge base); what they leave open was tried on MariaDB 10.11. Integers are little-endian.
//
// Packet: u24 length, u8 sequence id, payload. A payload of 2^24-1 bytes or more goes on in the next packet; a
// packet shorter than that ends it. Sequence ids begin with 0 at each command and run through both directions.
//
// Length-encoded integer: one byte up to 0xfa; 0xfc + u16; 0xfd + u24; 0xfe + u64. 0xfb is NULL in a text row.
//
// Greeting: u8 10, version NUL, u32 connection id, 8 bytes salt, NUL, u16 capabilities, u8 collation, u16 status,
// u16 capabilities (high), u8 length of salt + 1, 10 reserved bytes, 12 bytes salt, NUL, plugin NUL. MariaDB clears
// capability bit 0 and puts further capabilities into the last 4 reserved bytes; the proxy sets the bit on both
// sides, so that neither side uses them.
//
// Handshake response: u32 capabilities, u32 maximum packet, u8 collation, 23 reserved, user NUL, authentication
// (length-encoded, or u8 length), database NUL, plugin NUL, attributes (length-encoded).
//
// Answer to a query: OK (0x00), ERR (0xff), a request for a local file (0xfb), or a number of columns followed by
// as many definitions, an EOF unless DEPRECATE_EOF was agreed, rows, and an end: EOF (0xfe, shorter than 9 bytes),
// or with DEPRECATE_EOF an OK packet that begins with 0xfe (shorter than 2^24-1: a longer packet is a row whose
// first value is longer than 2^24). Another result follows when the status of the end says so
// (SERVER_MORE_RESULTS_EXISTS). With a cursor (SERVER_STATUS_CURSOR_EXISTS) no rows follow the columns.
//
//	OK   0x00 or 0xfe | lenenc affected rows | lenenc insert id | u16 status | u16 warnings | ...
//	EOF  0xfe | u16 warnings | u16 status
//	ERR  0xff | u16 code | '#' | 5 bytes SQLSTATE | message     (no '#' and SQLSTATE before the greeting)
//
// An ERR packet has no status, so it leaves open whether a transaction is: the proxy asks with a COM_PING.
//
// Answer to COM_STMT_PREPARE: 0x00, u32 statement id, u16 columns, u16 parameters, u8 0, u16 warnings; then the
// definitions of parameters and of columns, each list ended by an EOF unless DEPRECATE_EOF was agreed.
// COM_STMT_EXECUTE: 0x17, u32 statement id, u8 flags, u32 1, and if there are parameters: NULL bitmap, u8 new
// types, the types (2 bytes each, only if new), values. COM_STMT_SEND_LONG_DATA (0x18, u32 id, u16 parameter, data)
// and COM_STMT_CLOSE (0x19, u32 id) have no answer.
//
// LOAD DATA LOCAL: 0xfb and a file name from the server; packets of data and an empty packet from the client; OK or
// ERR from the server, which reads to the empty packet even when it has found a fault.
//
// mysql_native_password: SHA1(password) XOR SHA1(salt + SHA1(SHA1(password))). AuthSwitchRequest: 0xfe, plugin NUL,
// salt NUL; the answer is the bare response.
package mysql
