package mysql

import (
	"math"
	"strconv"
)

// sessionBound classifies statements that tie the session to its connection, or that manage what does.
func (c *classifier) sessionBound(first string) {
	c.advance()
	switch first {
	case "CREATE":
		c.create()
	case "DROP":
		c.drop()
	case "ALTER":
		c.raise(classWrite)
		if c.is("EVENT") || c.is("DEFINER") {
			c.swallow()
		}
		c.body()
	case "LOCK":
		c.raise(classWrite)
		if c.is("TABLE") || c.is("TABLES") {
			c.effect(effTableLocks, "", "")
		} else {
			c.effect(effPin, "", "it has locked the instance")
		}
	case "UNLOCK":
		if c.is("TABLE") || c.is("TABLES") {
			c.effect(effTableUnlock, "", "")
		} else {
			c.raise(classWrite)
		}
	case "FLUSH":
		c.raise(classWrite)
		for ; !c.atEnd(); c.advance() {
			if c.is("WITH") || c.is("EXPORT") {
				c.effect(effGlobalLock, "", "")
				break
			}
		}
	case "HANDLER":
		c.raise(classWrite)
		c.effect(effPin, "", "it has used HANDLER")
	case "BACKUP":
		c.raise(classWrite)
		c.effect(effPin, "", "it has used BACKUP")
	case "XA": // the server's status shows it as a transaction
		if c.is("RECOVER") {
			c.raise(classRead)
		} else {
			c.raise(classWrite)
		}
	case "CALL", "EXECUTE":
		c.raise(classWrite)
		c.out.opaque = true
		c.arguments(first)
	case "PREPARE":
		c.prepare()
	case "DEALLOCATE":
		c.accept("PREPARE")
		if _, name := c.name(); name != "" {
			c.effect(effDeallocate, lowerASCII([]byte(name)), "")
		}
	case "KILL":
		c.killStatement()
	case "GET":
		for ; !c.atEnd(); c.advance() {
			if c.tok.kind == tokUserVar {
				c.effect(effCapture, userVarKey(c.text[c.tok.start:c.tok.end]), "")
			}
		}
	case "SAVEPOINT", "RELEASE":
		c.raise(classRead) // with autocommit off it may open a transaction
	}
}

// create reads what follows CREATE.
func (c *classifier) create() {
	c.raise(classWrite)
	for !c.atEnd() {
		switch c.upper() {
		case "TEMPORARY":
			c.advance()
			if !c.accept("TABLE") {
				c.effect(effPin, "", "it has a temporary object")
				return
			}
			if c.accept("IF") {
				c.accept("NOT")
				c.accept("EXISTS")
			}
			c.effect(effTempTable, tableKey(c.name()), "")
			c.body()
			return
		case "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE":
			c.swallow()
			return
		case "TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "USER", "ROLE", "SERVER", "SEQUENCE":
			c.body()
			return
		}
		c.advance()
	}
}

// drop reads what follows DROP.
func (c *classifier) drop() {
	if c.accept("PREPARE") {
		if _, name := c.name(); name != "" {
			c.effect(effDeallocate, lowerASCII([]byte(name)), "")
		}
		return
	}
	c.raise(classWrite)
	c.accept("TEMPORARY")
	switch {
	case c.accept("DATABASE", "SCHEMA"):
		if c.accept("IF") {
			c.accept("EXISTS")
		}
		if _, db := c.name(); db != "" {
			c.effect(effDropDatabase, db, "")
		}
	case c.accept("TABLE", "TABLES"):
		if c.accept("IF") {
			c.accept("EXISTS")
		}
		for {
			qualifier, name := c.name()
			if name == "" {
				return
			}
			c.effect(effDropTable, tableKey(qualifier, name), "")
			if !c.isOther(',') {
				return
			}
			c.advance()
		}
	}
}

// arguments reads what follows CALL and EXECUTE. The arguments of a procedure may be OUT parameters.
func (c *classifier) arguments(first string) {
	for ; !c.atEnd(); c.advance() {
		if first == "CALL" && c.tok.kind == tokUserVar {
			c.effect(effCapture, userVarKey(c.text[c.tok.start:c.tok.end]), "")
		}
	}
}

// prepare reads what follows PREPARE: name FROM text. Only a plain string can be repeated elsewhere.
func (c *classifier) prepare() {
	_, name := c.name()
	key := lowerASCII([]byte(name))
	if !c.accept("FROM") || name == "" {
		c.raise(classWrite)
		return
	}
	start, literal := c.tok.start, c.tok.kind == tokString && !c.tok.conditional
	end := c.tok.end
	c.advance()
	if literal && c.atEnd() {
		c.effect(effPrepare, key, "PREPARE "+quoteName(name)+" FROM "+string(c.text[start:end]))
		return
	}
	c.effect(effPin, "", "it has a PREPAREd statement whose text is not a string")
}

// killStatement reads what follows KILL.
func (c *classifier) killStatement() {
	c.accept("HARD", "SOFT")
	k := killTarget{}
	switch {
	case c.accept("CONNECTION"):
	case c.accept("QUERY"):
		k.query = true
	}
	if c.is("ID") { // KILL QUERY ID n: a query id, which only the server knows
		return
	}
	if c.tok.kind != tokNumber {
		return
	}
	id, err := strconv.ParseUint(string(c.text[c.tok.start:c.tok.end]), 10, 64)
	if err != nil || id > math.MaxUint32 {
		return
	}
	k.id, k.start, k.end = id, c.tok.start, c.tok.end
	c.out.kill = &k
}
