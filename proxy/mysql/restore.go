package mysql

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	maxCaptured     = 64 // variables read back after one statement
	maxCapturedSize = 1 << 20

	typeDecimal    = 0x00
	typeTiny       = 0x01
	typeShort      = 0x02
	typeLong       = 0x03
	typeFloat      = 0x04
	typeDouble     = 0x05
	typeLongLong   = 0x08
	typeInt24      = 0x09
	typeNewDecimal = 0xf6
)

// restore gives a new connection the session's state. The statements are sent together and answered together.
func (s *session) restore(b *backend) error {
	texts := s.state.replay()
	if s.connected && (s.status^b.status)&statusAutocommit != 0 {
		on := "0"
		if s.autocommit() {
			on = "1"
		}
		texts = append(texts, "SET autocommit="+on)
	}
	if len(texts) == 0 {
		return nil
	}
	var out []byte
	for _, text := range texts {
		out = appendPacket(out, 0, append([]byte{comQuery}, text...))
	}
	if err := b.readWithin(s.srv.cfg.Dialer.Timeout); err != nil {
		return err
	}
	if err := b.write(out); err != nil {
		return fmt.Errorf("restore session: %w", err)
	}
	for _, text := range texts {
		payload, _, err := b.readPayload(maxLoginPacket)
		if err != nil {
			return fmt.Errorf("restore session: %w", err)
		}
		if len(payload) > 0 && payload[0] == headERR {
			e, err := parseERR(payload)
			if err != nil {
				return fmt.Errorf("restore session: %w", err)
			}
			return errUnmovable(s.group.Name, fmt.Sprintf("%q failed: %v", abbreviate(text), e))
		}
		if _, err := parseOK(payload); err != nil {
			return fmt.Errorf("restore session: %w", err)
		}
	}
	b.settle()
	return nil
}

func abbreviate(text string) string {
	const most = 100
	if len(text) <= most {
		return text
	}
	return text[:most] + "..."
}

// capture reads back the values of variables that a statement has set in a way that cannot be repeated elsewhere:
// @a := @a + 1, sql_mode = CONCAT(@@sql_mode, ...). It fails only with the connection; a variable that cannot be
// read is one that was not set, or a reason not to move the session.
func (s *session) capture(b *backend, keys []string) error {
	if len(keys) > maxCaptured {
		s.state.pin(tooMuchState)
		return nil
	}
	done := make(map[string]bool, len(keys))
	for _, key := range keys {
		if done[key] {
			continue
		}
		done[key] = true
		set, err := s.readVariable(b, key)
		var e *MySQLError
		switch {
		case errors.As(err, &e):
			if e.Code != codeUnknownVariable {
				s.state.pin("the value of " + key + " could not be read")
			}
		case errors.Is(err, errMalformed):
			s.state.pin("the value of " + key + " is not understood")
		case err != nil:
			return fmt.Errorf("read %s: %w", key, err)
		default:
			s.state.keep(key, set)
		}
	}
	return nil
}

// readVariable asks the server for a variable's value and returns the statement that sets it.
func (s *session) readVariable(b *backend, key string) (string, error) {
	name := "@@session." + quoteName(key)
	if key[0] == '@' {
		name = "@" + quoteName(key[1:])
	}
	query := "SELECT " + name + ",HEX(" + name + "),CHARSET(" + name + "),COLLATION(" + name + ")"
	if err := b.readWithin(s.srv.cfg.ReadTimeout); err != nil {
		return "", err
	}
	if err := b.write(appendPacket(nil, 0, append([]byte{comQuery}, query...))); err != nil {
		return "", err
	}
	kind, row, err := readSingleRow(b)
	if err != nil {
		return "", err
	}
	value, err := literal(kind, row)
	if err != nil {
		return "", err
	}
	if key[0] == '@' {
		return "SET " + name + "=" + value, nil
	}
	return "SET SESSION " + quoteName(key) + "=" + value, nil
}

// readSingleRow reads the answer to readVariable's query: the type of the first column and the values of all. It
// reads the answer to its end even if it does not understand it.
func readSingleRow(b *backend) (kind byte, row [][]byte, err error) {
	defer b.settle()
	payload, _, err := b.readPayload(maxCapturedSize)
	if err != nil {
		return 0, nil, brokenAnswer(err)
	}
	if len(payload) > 0 && payload[0] == headERR {
		e, err := parseERR(payload)
		if err != nil {
			return 0, nil, brokenAnswer(err)
		}
		return 0, nil, e
	}
	columns, _, err := readLenenc(payload)
	if err != nil || columns != 4 {
		return 0, nil, brokenAnswer(errMalformed)
	}
	for i := range columns {
		if payload, _, err = b.readPayload(maxCapturedSize); err != nil {
			return 0, nil, brokenAnswer(err)
		}
		if i == 0 {
			if kind, err = columnType(payload); err != nil {
				return 0, nil, brokenAnswer(err)
			}
		}
	}
	if b.caps&capDeprecateEOF == 0 {
		if _, _, err = b.readPayload(maxCapturedSize); err != nil {
			return 0, nil, brokenAnswer(err)
		}
	}
	for {
		h, err := b.peek(peekRow)
		switch {
		case err != nil:
			return 0, nil, brokenAnswer(err)
		case h.size > 0 && h.data[0] == headEOF && h.size < maxPayload && (b.caps&capDeprecateEOF != 0 || h.size < 9):
			if _, err := b.skipPacket(h); err != nil {
				return 0, nil, brokenAnswer(err)
			}
			if len(row) != 4 {
				err = fmt.Errorf("%w: value too long, or none", errMalformed)
			}
			return kind, row, err
		case h.size > maxCapturedSize:
			if _, err := b.skipPacket(h); err != nil {
				return 0, nil, brokenAnswer(err)
			}
		default:
			if payload, _, err = b.readPayload(maxCapturedSize); err != nil {
				return 0, nil, brokenAnswer(err)
			}
			row = splitRow(payload)
		}
	}
}

// brokenAnswer hides errMalformed: after an answer that was not read to its end the connection is of no use.
func brokenAnswer(err error) error { return fmt.Errorf("answer not understood: %v", err) }

// columnType reads the type from a column definition.
func columnType(p []byte) (byte, error) {
	c := cursor{p: p}
	for _, field := range []string{"catalog", "schema", "table", "original table", "name", "original name"} {
		c.bytes(field)
	}
	c.lenenc("length of the fixed part")
	c.u16("character set")
	c.u32("length")
	return c.u8("type"), c.err
}

// splitRow splits a text row into its values, nil for NULL. A row that is not understood has none.
func splitRow(p []byte) [][]byte {
	var row [][]byte
	c := cursor{p: p}
	for len(c.p) > 0 {
		if c.p[0] == headLocalInfile { // NULL
			c.u8("NULL")
			row = append(row, nil)
			continue
		}
		b := c.bytes("value")
		if c.err != nil {
			return nil
		}
		row = append(row, append([]byte{}, b...))
	}
	return row
}

// literal writes a value, of which the server gave text, hexadecimal form, character set and collation, so that it
// means the same on any connection.
func literal(kind byte, row [][]byte) (string, error) {
	text, hexed, charset, collation := row[0], row[1], string(row[2]), string(row[3])
	if text == nil {
		return "NULL", nil
	}
	switch kind {
	case typeDecimal, typeNewDecimal, typeTiny, typeShort, typeLong, typeLongLong, typeInt24:
		return number(text)
	case typeFloat, typeDouble:
		s, err := number(text)
		if err == nil && !strings.ContainsAny(s, "eE") {
			s += "e0" // else it would be read as a decimal
		}
		return s, err
	}
	if len(hexed) != hex.EncodedLen(hex.DecodedLen(len(hexed))) || !nameLike(charset) || !nameLike(collation) {
		return "", fmt.Errorf("%w: string in character set %q", errMalformed, charset)
	}
	if charset == "binary" {
		return "X'" + string(hexed) + "'", nil
	}
	return "_" + charset + " X'" + string(hexed) + "' COLLATE " + collation, nil
}

// number returns text if it is a number.
func number(text []byte) (string, error) {
	for _, c := range text {
		if !isDigit(c) && !strings.ContainsRune("+-.eE", rune(c)) {
			return "", fmt.Errorf("%w: number %q", errMalformed, abbreviate(string(text)))
		}
	}
	return string(text), nil
}

// nameLike reports whether s may stand in a statement as the name of a character set or collation.
func nameLike(s string) bool {
	for i := range len(s) {
		if !isWordByte(s[i]) {
			return false
		}
	}
	return s != ""
}
