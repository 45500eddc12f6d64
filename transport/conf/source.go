package conf

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// byteOrderMark is what some editors put before the first line.
var byteOrderMark = []byte("\xef\xbb\xbf")

// checkSource checks the bytes of a document before any of them is interpreted
// and returns it with plain newlines. The limits on lines are not only taste:
// the YAML library takes quadratic time on long runs of blank lines, tabs and
// some other characters.
func checkSource(f *findings, content []byte) []byte {
	if len(content) > MaxContent {
		f.errorf(position{1, 1}, "", "the document has %d bytes; at most %d are allowed", len(content), MaxContent)
		return nil
	}
	text := bytes.TrimPrefix(content, byteOrderMark)
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	if !checkCharacters(f, text) || !checkLines(f, text) {
		return nil
	}
	if n := encodedLen(content); n > MaxEncoded {
		f.errorf(position{1, 1}, "", "the document takes %d bytes as a JSON string; at most %d fit in a frame (newlines and quotes count twice, each of < > & six times)", n, MaxEncoded)
		return nil
	}
	return text
}

// checkCharacters refuses what is not printable text. It stops at the first
// finding of a line: binary input has a lot of them.
func checkCharacters(f *findings, content []byte) bool {
	good := true
	at := position{1, 1}
	skip := false
	for i := 0; i < len(content); {
		r, size := utf8.DecodeRune(content[i:])
		i += size
		if r == '\n' {
			at, skip = position{at.line + 1, 1}, false
			continue
		}
		if msg := badCharacter(r, size); msg != "" && !skip {
			f.errorf(at, "", "%s", msg)
			good, skip = false, true
		}
		at.column++
	}
	return good
}

func badCharacter(r rune, size int) string {
	switch {
	case r == utf8.RuneError && size == 1:
		return "a byte that is not UTF-8; save the file as UTF-8"
	case r == 0:
		return "a NUL byte; the file is not text"
	case r == '\t':
		return `a tab; indent with spaces (inside double quotes write \t)`
	case r == '\r':
		return "a carriage return without a newline; end lines with a newline"
	case unicode.IsControl(r), r == 0xFEFF, r == 0xFFFE, r == 0xFFFF, r == 0x2028, r == 0x2029:
		return "a control character; remove it"
	}
	return ""
}

func checkLines(f *findings, content []byte) bool {
	line, blank := 0, 0
	for text := range bytes.Lines(content) {
		line++
		text = bytes.TrimSuffix(text, []byte("\n"))
		blank++
		if len(bytes.Trim(text, " ")) > 0 {
			blank = 0
		}
		switch {
		case line > MaxLines:
			f.errorf(position{line, 1}, "", "more than %d lines", MaxLines)
			return false
		case len(text) > MaxLine:
			f.errorf(position{line, 1}, "", "the line has %d bytes; at most %d are allowed (a long list can be written as a YAML list)", len(text), MaxLine)
			return false
		case blank > MaxBlankLines:
			f.errorf(position{line, 1}, "", "more than %d blank lines in a row", MaxBlankLines)
			return false
		}
	}
	return true
}

// encodedLen is the length of content as a JSON string without its quotes, as
// encoding/json writes it with its default escaping of HTML. The characters
// beyond ASCII that it escapes as well are refused by checkCharacters.
func encodedLen(content []byte) int {
	n := 0
	for _, c := range content {
		switch {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t' || c == '\b' || c == '\f':
			n += 2
		case c < 0x20 || c == '<' || c == '>' || c == '&':
			n += 6
		default:
			n++
		}
	}
	return n
}
