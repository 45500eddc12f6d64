// Package dbclient is a MySQL client for runs that count every write: it sends one statement at a time, never sends one
// again, and reads from the OK packet what the server tracks of the session, above all the GTID of a commit (last_gtid).
//
// The layouts are those of the client/server protocol 4.1 with CLIENT_SESSION_TRACK: an OK packet is 00 | lenenc affected |
// lenenc insert id | u16 status | u16 warnings | lenenc string info | when status has 0x4000: lenenc string of changes, each
// u8 type | lenenc string data; the data of type 0 are pairs of lenenc strings, name and value.
// Logins are mysql_native_password. TLS, compression and prepared statements are not for it.
package dbclient
