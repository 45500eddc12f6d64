package mysql

import "strings"

type tokenKind uint8

const (
	tokEnd       tokenKind = iota // end of the text
	tokWord                       // keyword or identifier, without quotes
	tokQuoted                     // `identifier`
	tokString                     // '...' or "..."
	tokNumber                     // starts with a digit
	tokUserVar                    // @name, @'name', @"name", @`name`
	tokSysVar                     // @@name, @@session.name
	tokSemicolon                  // ends a statement
	tokAssign                     // :=
	tokOther                      // any other byte
)

// token is text[start:end].
type token struct {
	kind       tokenKind
	start, end int
	// conditional: it stands in an executable comment (/*! */), so the server may or may not see it.
	conditional bool
}

// lexer splits SQL text into tokens, closely enough to MySQL's own rules to find keywords, quotes and the ends of
// statements. It knows no character sets: in big5, gbk and sjis the second byte of a character may look like a
// backslash.
type lexer struct {
	text        []byte
	pos         int
	noBackslash bool // sql_mode NO_BACKSLASH_ESCAPES: a backslash in a string is an ordinary character
	conditional bool // inside /*! */
	broken      bool // an open quote or comment was met: nothing that was understood can be trusted
}

// next returns the next token.
func (l *lexer) next() token {
	if !l.skipSpace() {
		return token{kind: tokEnd, start: len(l.text), end: len(l.text), conditional: l.conditional}
	}
	t := token{start: l.pos, conditional: l.conditional}
	c := l.text[l.pos]
	switch {
	case c == '\'' || c == '"':
		t.kind = tokString
		l.quoted(c)
	case c == '`':
		t.kind = tokQuoted
		l.quoted(c)
	case c == '@':
		t.kind = l.variable()
	case isDigit(c):
		t.kind = tokNumber
		l.number()
	case isWordByte(c):
		t.kind = tokWord
		l.word()
	case c == ';':
		t.kind = tokSemicolon
		l.pos++
	case c == ':' && l.at(1) == '=':
		t.kind = tokAssign
		l.pos += 2
	default:
		t.kind = tokOther
		l.pos++
	}
	t.end = l.pos
	return t
}

// at returns the byte i after the current one, 0 beyond the end.
func (l *lexer) at(i int) byte {
	if l.pos+i < len(l.text) {
		return l.text[l.pos+i]
	}
	return 0
}

// skipSpace steps over white space and comments and reports whether anything is left.
func (l *lexer) skipSpace() bool {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case isSpace(c):
			l.pos++
		case c == '#', c == '-' && l.at(1) == '-' && (l.pos+2 == len(l.text) || l.at(2) <= ' '):
			for l.pos < len(l.text) && l.text[l.pos] != '\n' {
				l.pos++
			}
		case c == '/' && l.at(1) == '*':
			l.comment()
		case c == '*' && l.at(1) == '/' && l.conditional:
			l.conditional = false
			l.pos += 2
		default:
			return true
		}
	}
	if l.conditional {
		l.broken = true
	}
	return false
}

// comment steps over a comment, or only over the opening of an executable one.
func (l *lexer) comment() {
	l.pos += 2
	if l.at(0) == '!' || l.at(0) == 'M' && l.at(1) == '!' {
		if l.conditional {
			l.broken = true // nested executable comments: the rules differ between versions
		}
		for l.at(0) != '!' {
			l.pos++
		}
		l.pos++
		for n := 0; n < 6 && isDigit(l.at(0)); n++ {
			l.pos++
		}
		l.conditional = true
		return
	}
	for ; l.pos < len(l.text); l.pos++ {
		if l.text[l.pos] == '*' && l.at(1) == '/' {
			l.pos += 2
			return
		}
	}
	l.broken = true
}

// quoted steps over a string or quoted identifier.
func (l *lexer) quoted(quote byte) {
	l.pos++
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == '\\' && quote != '`' && !l.noBackslash:
			l.pos += 2
		case c == quote && l.at(1) == quote:
			l.pos += 2
		case c == quote:
			l.pos++
			return
		default:
			l.pos++
		}
	}
	l.pos = len(l.text)
	l.broken = true
}

// variable steps over @name or @@name.
func (l *lexer) variable() tokenKind {
	kind := tokUserVar
	l.pos++
	if l.at(0) == '@' {
		kind = tokSysVar
		l.pos++
	}
	switch c := l.at(0); c {
	case '\'', '"', '`':
		l.quoted(c)
	default:
		for l.pos < len(l.text) && (isWordByte(l.text[l.pos]) || l.text[l.pos] == '.') {
			l.pos++
		}
	}
	return kind
}

func (l *lexer) word() {
	for l.pos < len(l.text) && isWordByte(l.text[l.pos]) {
		l.pos++
	}
}

func (l *lexer) number() {
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		if (c == '+' || c == '-') && (l.text[l.pos-1]|0x20) == 'e' && isDigit(l.at(1)) {
			l.pos++
			continue
		}
		if !isWordByte(c) && c != '.' {
			return
		}
		l.pos++
	}
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c) || c == '_' || c == '$' || c >= 0x80
}

// lowerASCII is strings.ToLower for the 26 letters that MySQL folds in names whatever the character set.
func lowerASCII(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, string(b))
}

// unquote returns the content of a quoted token: the doubled quotes are undone. Backslashes are left as they are.
func unquote(b []byte) string {
	if len(b) < 2 {
		return string(b)
	}
	switch q := b[0]; q {
	case '\'', '"', '`':
		s := string(b[1 : len(b)-1])
		return strings.ReplaceAll(s, string(q)+string(q), string(q))
	}
	return string(b)
}

// quoteName writes an identifier between backticks.
func quoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
