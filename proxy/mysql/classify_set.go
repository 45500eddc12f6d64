package mysql

import (
	"bytes"
	"strings"
)

// notReplayed are session variables that a new connection must not be given: they count once, or they are
// restored in another way.
var notReplayed = functionSet(`AUTOCOMMIT INSERT_ID GTID_SEQ_NO GTID_NEXT PSEUDO_THREAD_ID PSEUDO_SLAVE_MODE
RAND_SEED1 RAND_SEED2 SKIP_REPLICATION ERROR_COUNT WARNING_COUNT`)

// scope of the variables in a SET.
type scope uint8

const (
	scopeSession scope = iota
	scopeGlobal
)

// set reads what follows SET.
func (c *classifier) set() {
	switch c.upper() {
	case "STATEMENT": // SET STATEMENT a=b FOR statement
		for !c.atEnd() && !c.is("FOR") {
			c.advance()
		}
		c.advance()
		c.statement()
		return
	case "PASSWORD", "DEFAULT", "RESOURCE":
		c.raise(classWrite)
		return
	case "ROLE":
		c.keep("role", "SET ROLE ")
		return
	}
	sticky := scopeSession
	for !c.atEnd() {
		if done := c.assignment(&sticky); done || c.atEnd() {
			return
		}
		if !c.isOther(',') {
			c.raise(classWrite) // not understood
			return
		}
		c.advance()
	}
}

// keep records the rest of the statement as one piece of state.
func (c *classifier) keep(key, before string) {
	c.advance()
	start := c.tok.start
	end := start
	conditional := false
	for !c.atEnd() {
		conditional = conditional || c.tok.conditional
		end = c.tok.end
		c.advance()
	}
	if conditional {
		c.effect(effPin, "", "a SET of it stands in an executable comment and was not understood")
		return
	}
	c.effect(effSet, key, before+string(c.text[start:end]))
}

// assignment reads one assignment. sticky is the scope of those that name none. It reports true when the rest
// of the statement has been read as well.
func (c *classifier) assignment(sticky *scope) bool {
	switch c.upper() {
	case "GLOBAL", "PERSIST", "PERSIST_ONLY":
		*sticky = scopeGlobal
		c.advance()
	case "SESSION", "LOCAL":
		*sticky = scopeSession
		c.advance()
		if c.is("TRANSACTION") {
			c.keepTransaction()
			return true
		}
	case "TRANSACTION":
		if *sticky == scopeSession {
			c.oneShot()
			return true
		}
	case "NAMES":
		c.charset("names", "SET NAMES ")
		return false
	case "CHARSET":
		c.charset("charset", "SET CHARACTER SET ")
		return false
	case "CHARACTER":
		c.advance()
		if !c.is("SET") {
			return false
		}
		c.charset("charset", "SET CHARACTER SET ")
		return false
	}
	if c.is("TRANSACTION") { // SET GLOBAL TRANSACTION
		c.raise(classWrite)
		return true
	}
	c.variableAssignment(*sticky)
	return false
}

// keepTransaction records SET SESSION TRANSACTION: isolation level, access mode or both.
func (c *classifier) keepTransaction() {
	rest := bytes.ToUpper(c.text[c.tok.start:])
	if i := bytes.IndexByte(rest, ';'); i >= 0 {
		rest = rest[:i]
	}
	key := "transaction"
	if bytes.Contains(rest, []byte("ISOLATION")) {
		key += " isolation"
	}
	if bytes.Contains(rest, []byte("READ ONLY")) || bytes.Contains(rest, []byte("READ WRITE")) {
		key += " access"
	}
	c.keep(key, "SET SESSION TRANSACTION ")
}

// oneShot records SET TRANSACTION, which counts for the next transaction only.
func (c *classifier) oneShot() {
	start, end := c.tok.start, c.tok.end
	for !c.atEnd() {
		end = c.tok.end
		c.advance()
	}
	c.effect(effOneShot, "", "SET "+string(c.text[start:end]))
}

// charset reads the value of SET NAMES or SET CHARACTER SET.
func (c *classifier) charset(key, before string) {
	conditional := c.tok.conditional
	c.advance()
	start, end := c.tok.start, c.tok.start
	for !c.atEnd() && !c.isOther(',') {
		conditional = conditional || c.tok.conditional
		end = c.tok.end
		c.advance()
	}
	if !conditional {
		c.effect(effSet, key, before+string(c.text[start:end]))
		return
	}
	for _, name := range []string{"character_set_client", "character_set_results", "collation_connection"} {
		c.effect(effCapture, name, "")
	}
}

// variableAssignment reads [@|@@scope.]name {=|:=} expression.
func (c *classifier) variableAssignment(in scope) {
	target := c.tok
	var key string
	switch target.kind {
	case tokUserVar:
		key = userVarKey(c.text[target.start:target.end])
		c.advance()
	case tokSysVar:
		key = lowerASCII(c.text[target.start+2 : target.end])
		in = scopeSession
		c.advance()
		if prefix, name, ok := strings.Cut(key, "."); ok {
			switch prefix {
			case "session", "local":
				key = name
			default: // global, persist, or a structured variable
				in = scopeGlobal
			}
		}
		key = strings.Trim(key, "`")
	default:
		qualifier, name := c.name()
		key = lowerASCII([]byte(name))
		if qualifier != "" {
			in = scopeGlobal
		}
	}
	if key == "" || c.tok.kind != tokAssign && !c.isOther('=') {
		c.raise(classWrite)
		return
	}
	c.advance()
	value, literal := c.expression(key[0] == '@')
	literal = literal && !target.conditional
	switch upper := strings.ToUpper(key); {
	case in == scopeGlobal:
		c.raise(classWrite)
	case upper == "AUTOCOMMIT":
		c.autocommit = true
	case upper == "LAST_INSERT_ID" || upper == "IDENTITY":
		if literal {
			c.effect(effLastInsertID, "", value)
		}
	case notReplayed[upper]:
	case !literal:
		c.effect(effCapture, key, "")
	case key[0] == '@':
		c.effect(effSet, key, "SET @"+quoteName(key[1:])+"="+value)
	default:
		c.effect(effSet, key, "SET SESSION "+quoteName(key)+"="+value)
	}
}

// expression reads a value up to the next comma outside of parentheses. literal tells that repeating its text
// anywhere gives the same value.
func (c *classifier) expression(userVar bool) (text string, literal bool) {
	start, end, tokens, depth := c.tok.start, c.tok.start, 0, 0
	literal = true
	for !c.atEnd() && (depth > 0 || !c.isOther(',')) {
		literal = literal && !c.tok.conditional && c.literalToken(tokens, userVar)
		switch {
		case c.isOther('('):
			depth++
		case c.isOther(')'):
			depth--
		case c.is("SELECT"):
			c.raise(classRead)
		}
		end = c.tok.end
		tokens++
		c.bodyToken()
	}
	return string(c.text[start:end]), literal && tokens > 0 && tokens <= 2
}

// literalToken reports whether the current token, the n-th of an expression, may be part of a literal: a number,
// perhaps signed, a plain string, or a word such as ON or utf8mb4.
func (c *classifier) literalToken(n int, userVar bool) bool {
	b := c.text[c.tok.start:c.tok.end]
	switch c.tok.kind {
	case tokNumber:
		return true
	case tokOther:
		return n == 0 && (b[0] == '-' || b[0] == '+')
	case tokString:
		return n == 0 && b[0] == '\'' && !bytes.ContainsFunc(b, func(r rune) bool { return r == '\\' || r < ' ' || r > '~' })
	case tokWord:
		word := c.upper()
		if userVar {
			return n == 0 && (word == "TRUE" || word == "FALSE" || word == "NULL")
		}
		return n == 0 && !strings.HasPrefix(word, "CURRENT") && !strings.HasPrefix(word, "LOCALTIME") &&
			!strings.HasPrefix(word, "UTC_") && word != "?"
	}
	return false
}
