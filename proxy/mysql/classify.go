package mysql

// classifier reads the statements of one text.
type classifier struct {
	lexer
	tok        token
	functions  map[string]bool // further functions that are known to change nothing
	out        analysis
	cur        statement
	autocommit bool // a SET autocommit was met
	upperBuf   [24]byte
}

// classify says what text may do. It never fails: what it does not understand is a write. truncated tells that
// the text goes on after what is given. functions are stored functions known to change nothing, in upper case.
func classify(text []byte, noBackslash, truncated bool, functions map[string]bool) *analysis {
	c := classifier{lexer: lexer{text: text, noBackslash: noBackslash}, functions: functions}
	c.advance()
	for {
		for c.tok.kind == tokSemicolon {
			c.advance()
		}
		if c.tok.kind == tokEnd {
			break
		}
		c.cur = statement{}
		c.statement()
		c.finish()
	}
	if c.broken || truncated || c.autocommit && c.out.count > 1 {
		c.out.class = classWrite
	}
	if truncated || c.out.count != 1 {
		c.out.kill = nil
	}
	return &c.out
}

// finish steps to the end of the current statement and adds it to the result.
func (c *classifier) finish() {
	for c.tok.kind != tokSemicolon && c.tok.kind != tokEnd {
		c.advance()
	}
	c.out.class = max(c.out.class, c.cur.class)
	if c.cur.effects != nil || c.out.effects != nil {
		for len(c.out.effects) < c.out.count {
			c.out.effects = append(c.out.effects, nil)
		}
		c.out.effects = append(c.out.effects, c.cur.effects)
	}
	c.out.count++
}

func (c *classifier) advance() { c.tok = c.next() }

// upper returns the current token's text in upper case if it is a word, else "". Words longer than any keyword
// come back as "?".
func (c *classifier) upper() string {
	if c.tok.kind != tokWord {
		return ""
	}
	return string(c.upperBytes())
}

func (c *classifier) upperBytes() []byte {
	n := c.tok.end - c.tok.start
	if n > len(c.upperBuf) {
		return []byte{'?'}
	}
	b := c.upperBuf[:n]
	for i, ch := range c.text[c.tok.start:c.tok.end] {
		if ch >= 'a' && ch <= 'z' {
			ch -= 'a' - 'A'
		}
		b[i] = ch
	}
	return b
}

// is reports whether the current token is the given word.
func (c *classifier) is(word string) bool {
	return c.tok.kind == tokWord && c.tok.end-c.tok.start == len(word) && string(c.upperBytes()) == word
}

// accept steps over the current token if it is one of the given words.
func (c *classifier) accept(words ...string) bool {
	for _, w := range words {
		if c.is(w) {
			c.advance()
			return true
		}
	}
	return false
}

func (c *classifier) isOther(b byte) bool { return c.tok.kind == tokOther && c.text[c.tok.start] == b }

func (c *classifier) atEnd() bool { return c.tok.kind == tokEnd || c.tok.kind == tokSemicolon }

func (c *classifier) raise(to class) { c.cur.class = max(c.cur.class, to) }

func (c *classifier) effect(kind effectKind, key, text string) {
	c.cur.effects = append(c.cur.effects, effect{kind, key, text})
}

// name reads an identifier, perhaps qualified, as it is compared: last part and, when given, the part before it.
func (c *classifier) name() (qualifier, name string) {
	for {
		switch c.tok.kind {
		case tokWord, tokQuoted, tokNumber:
			name = unquote(c.text[c.tok.start:c.tok.end])
		default:
			return qualifier, ""
		}
		c.advance()
		if !c.isOther('.') {
			return qualifier, name
		}
		qualifier = name
		c.advance()
	}
}

// tableKey is the key of a table in effects: "db.table" or ".table".
func tableKey(qualifier, name string) string {
	return lowerASCII([]byte(qualifier)) + "." + lowerASCII([]byte(name))
}

// swallow takes the whole rest of the text as part of the current statement: semicolons inside a stored program
// end nothing.
func (c *classifier) swallow() {
	for c.tok.kind != tokEnd {
		c.advance()
	}
	c.raise(classWrite)
}

// statement classifies the statement that starts at the current token.
func (c *classifier) statement() {
	for c.isOther('(') {
		c.advance()
	}
	if c.tok.conditional && c.hasPlainTokens() {
		// Part of the statement stands in an executable comment, its first word included. Which server
		// executes it is not known here, so nothing is known.
		c.raise(classWrite)
	}
	first := c.upper()
	if c.statementByWord(first) {
		return
	}
	// Not a word, or a word that starts nothing known.
	label := c.tok.kind == tokWord || c.tok.kind == tokQuoted
	c.advance()
	if label && c.isOther(':') {
		c.swallow()
	}
	c.raise(classWrite)
	c.body()
}

// hasPlainTokens reports whether the rest of the current statement has a token outside of executable comments.
func (c *classifier) hasPlainTokens() bool {
	ahead := c.lexer
	for {
		switch t := ahead.next(); {
		case t.kind == tokEnd, t.kind == tokSemicolon:
			return false
		case !t.conditional:
			return true
		}
	}
}

// statementByWord classifies a statement by its first word. It reports false, without having moved, if the word
// starts nothing that it knows.
func (c *classifier) statementByWord(first string) bool {
	switch first {
	case "SELECT", "VALUES", "TABLE":
		c.raise(classRead)
		c.advance()
		c.body()
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD":
		c.raise(classDML)
		c.advance()
		c.body()
	case "BEGIN":
		c.advance()
		if c.accept("WORK"); !c.atEnd() {
			c.swallow() // BEGIN NOT ATOMIC, or Oracle's BEGIN ... END
		}
		c.raise(classBegin)
	case "START":
		c.advance()
		if c.accept("TRANSACTION") {
			c.raise(classBegin)
		} else {
			c.raise(classWrite)
		}
	case "COMMIT", "ROLLBACK":
		c.advance()
		c.endTransaction()
	case "SET":
		c.advance()
		c.set()
	case "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "ANALYZE", "HELP", "CHECKSUM", "DO", "WITH":
		c.readLike(first)
	case "USE":
		c.advance()
		if _, db := c.name(); db != "" {
			c.effect(effUse, db, "")
		}
	case "CREATE", "DROP", "ALTER", "LOCK", "UNLOCK", "FLUSH", "HANDLER", "BACKUP", "XA", "CALL", "EXECUTE",
		"PREPARE", "DEALLOCATE", "KILL", "SAVEPOINT", "RELEASE", "GET":
		c.sessionBound(first)
	case "IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR", "DECLARE":
		c.swallow()
	default:
		return false
	}
	return true
}

// endTransaction reads what follows COMMIT or ROLLBACK.
func (c *classifier) endTransaction() {
	for !c.atEnd() {
		if c.accept("AND") {
			if c.is("CHAIN") {
				c.raise(classBegin)
			}
			continue
		}
		c.advance()
	}
}

// readLike classifies statements that read, unless what they explain or contain does not.
func (c *classifier) readLike(first string) {
	c.advance()
	switch first {
	case "SHOW", "HELP", "CHECKSUM":
		c.raise(classRead)
	case "DO":
		c.raise(classRead)
		c.body()
	case "WITH":
		c.with()
	case "DESCRIBE", "DESC", "EXPLAIN":
		c.raise(classRead)
		executes := false
		for c.is("ANALYZE") || c.is("FORMAT") || c.is("EXTENDED") || c.is("PARTITIONS") {
			executes = executes || c.is("ANALYZE")
			c.option()
		}
		if executes && !c.atEnd() {
			c.statement()
		}
	case "ANALYZE":
		for c.is("FORMAT") {
			c.option()
		}
		switch c.upper() {
		case "SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "REPLACE", "VALUES":
			c.statement()
		default: // ANALYZE TABLE
			c.raise(classWrite)
		}
	}
}

// option steps over WORD or WORD=VALUE.
func (c *classifier) option() {
	c.advance()
	if c.isOther('=') {
		c.advance()
		c.advance()
	}
}

// with classifies WITH by the verb that follows the common table expressions.
func (c *classifier) with() {
	c.raise(classRead)
	depth := 0
	for !c.atEnd() {
		switch {
		case c.isOther('('):
			depth++
		case c.isOther(')'):
			depth--
		case depth > 0:
			c.bodyToken()
			continue
		case c.is("UPDATE"), c.is("DELETE"), c.is("INSERT"), c.is("REPLACE"):
			c.raise(classDML)
			c.body()
			return
		case c.is("SELECT"), c.is("VALUES"), c.is("TABLE"):
			c.body()
			return
		}
		c.advance() // name [(columns)] AS (query): the name is no function
	}
}
