package mysql

// body reads the rest of a statement for what makes it more than a read.
func (c *classifier) body() {
	for !c.atEnd() {
		c.bodyToken()
	}
}

// bodyToken looks at the current token and steps over it.
func (c *classifier) bodyToken() {
	switch c.tok.kind {
	case tokUserVar:
		name := c.tok
		c.advance()
		if c.tok.kind == tokAssign {
			c.effect(effCapture, userVarKey(c.text[name.start:name.end]), "")
		}
	case tokWord:
		c.bodyWord()
	case tokQuoted:
		c.advance()
		if c.isOther('(') {
			c.unknownCall() // `f`(): a stored function
		}
	case tokOther:
		dot := c.text[c.tok.start] == '.'
		c.advance()
		if dot && (c.tok.kind == tokWord || c.tok.kind == tokQuoted) {
			c.qualified()
		}
	default:
		c.advance()
	}
}

// qualified steps over the part of a name after a dot: no keyword, and before a parenthesis a stored function.
func (c *classifier) qualified() {
	seq := c.is("NEXTVAL")
	c.advance()
	if seq || c.isOther('(') {
		c.unknownCall()
	}
}

// unknownCall takes note of a call of something that may write.
func (c *classifier) unknownCall() {
	if c.cur.class < classDML { // what changes data already is not made more of by a function
		c.raise(classWrite)
	}
}

// bodyWord looks at a word in the middle of a statement and steps over it.
func (c *classifier) bodyWord() {
	switch c.upper() {
	case "FOR":
		c.advance()
		if c.is("UPDATE") || c.is("SHARE") {
			c.raise(classWrite)
		}
	case "LOCK", "NEXTVAL":
		c.raise(classWrite)
		c.advance()
	case "NEXT":
		c.advance()
		if c.is("VALUE") {
			c.raise(classWrite)
		}
	case "INTO":
		c.advance()
		c.into()
	case "GET_LOCK":
		c.raise(classWrite)
		c.advance()
		c.effect(effUserLock, c.lockName(), "")
	case "RELEASE_LOCK":
		c.advance()
		if name := c.lockName(); name != "" {
			c.effect(effUserUnlock, name, "")
		}
	case "RELEASE_ALL_LOCKS":
		c.advance()
		c.effect(effUserUnlockAll, "", "")
	default:
		c.call()
	}
}

// call steps over a word and, if it is called, over the parenthesis.
func (c *classifier) call() {
	word := c.upperBytes()
	known := c.cur.class >= classDML || notCalls[string(word)] || pureFunctions[string(word)] || c.functions[string(word)]
	c.advance()
	if c.isOther('(') && !known {
		c.unknownCall()
	}
}

// into reads what follows INTO: user variables, a file, or the table of an INSERT.
func (c *classifier) into() {
	c.raise(classDML)
	if c.tok.kind == tokUserVar || c.is("OUTFILE") || c.is("DUMPFILE") {
		c.raise(classWrite)
	}
	for c.tok.kind == tokUserVar {
		c.effect(effCapture, userVarKey(c.text[c.tok.start:c.tok.end]), "")
		c.advance()
		if !c.isOther(',') {
			return
		}
		c.advance()
	}
}

// lockName returns the literal first argument of the call that starts at the current token; "" if it is no literal.
func (c *classifier) lockName() string {
	if !c.isOther('(') {
		return ""
	}
	ahead := c.lexer
	arg, after := ahead.next(), ahead.next()
	if arg.kind != tokString || after.kind != tokOther || c.text[after.start] != ',' && c.text[after.start] != ')' {
		return ""
	}
	return lowerASCII([]byte(unquote(c.text[arg.start:arg.end])))
}

// userVarKey is the key of a user variable, "@" and its name in lower case, from the text of its token.
func userVarKey(token []byte) string {
	return "@" + lowerASCII([]byte(unquote(token[1:])))
}
