package mysql

// executeLayout is where the fixed parts of a COM_STMT_EXECUTE stand in its payload:
//
//	0x17 | u32 statement | u8 flags | u32 iterations | null bitmap | u8 new parameters bound | types | values
//
// The last four are there only if the statement has parameters, the types only if new ones are bound.
type executeLayout struct {
	bound   bool
	boundAt int    // offset of the flag
	types   []byte // 2 bytes for each parameter
}

// parseExecute reads the layout of a COM_STMT_EXECUTE, of whose payload only the beginning needs to be there. It
// reports false if the statement has no parameters or if the payload is too short.
func parseExecute(payload []byte, params int) (executeLayout, bool) {
	if params <= 0 {
		return executeLayout{}, false
	}
	at := 10 + (params+7)/8
	if len(payload) <= at {
		return executeLayout{}, false
	}
	l := executeLayout{boundAt: at, bound: payload[at] == 1}
	if l.bound {
		if len(payload) < at+1+2*params {
			return executeLayout{}, false
		}
		l.types = payload[at+1 : at+1+2*params]
	}
	return l, true
}

// insertTypes returns the payload with types bound, which it had left out because the server knew them.
func insertTypes(payload []byte, l executeLayout, types []byte) []byte {
	out := make([]byte, 0, len(payload)+len(types))
	out = append(out, payload[:l.boundAt]...)
	out = append(out, 1)
	out = append(out, types...)
	return append(out, payload[l.boundAt+1:]...)
}

// appendPackets appends a command's payload, of any length, as packets with sequence ids from 0.
func appendPackets(b, payload []byte) []byte {
	for seq := byte(0); ; seq++ {
		n := min(len(payload), maxPayload)
		b = appendPacket(b, seq, payload[:n])
		payload = payload[n:]
		if n < maxPayload {
			return b
		}
	}
}
