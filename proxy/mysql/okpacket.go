package mysql

import "fmt"

// okInfo is what the proxy reads from the packets that end a result.
type okInfo struct {
	affected uint64
	insertID uint64
	status   uint16
	warnings uint16
}

// parseOK reads an OK packet, or the OK that ends rows where EOF packets are deprecated. Only its first bytes
// need to be there: what follows the warnings is not looked at.
func parseOK(p []byte) (okInfo, error) {
	if len(p) == 0 || p[0] != headOK && p[0] != headEOF {
		return okInfo{}, fmt.Errorf("%w: not an OK packet", errMalformed)
	}
	c := cursor{p: p[1:]}
	ok := okInfo{affected: c.lenenc("affected rows"), insertID: c.lenenc("insert id")}
	ok.status, ok.warnings = c.u16("status"), c.u16("warnings")
	return ok, c.err
}

// parseEOF reads an EOF packet.
func parseEOF(p []byte) (okInfo, error) {
	if len(p) != 5 || p[0] != headEOF {
		return okInfo{}, fmt.Errorf("%w: not an EOF packet", errMalformed)
	}
	c := cursor{p: p[1:]}
	ok := okInfo{warnings: c.u16("warnings")}
	ok.status = c.u16("status")
	return ok, c.err
}

// appendOK appends the payload of a plain OK packet with the given status.
func appendOK(b []byte, status uint16) []byte {
	return append(b, headOK, 0, 0, byte(status), byte(status>>8), 0, 0)
}

// appendPacket appends one physical packet. The payload must be shorter than maxPayload.
func appendPacket(b []byte, seq byte, payload []byte) []byte {
	n := len(payload)
	b = append(b, byte(n), byte(n>>8), byte(n>>16), seq)
	return append(b, payload...)
}
