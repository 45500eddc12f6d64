package conf

import "github.com/goccy/go-yaml/token"

// checkTokens refuses, before the library builds a tree, what the schema has no
// use for (anchors, aliases, tags, directives, block text, complex keys, more
// documents) and what would make the tree deep or slow to build: the library
// recurses for each level, and for each key of a mapping. It reports whether
// the tokens are fit to be parsed.
func checkTokens(f *findings, tokens token.Tokens) bool {
	g := guard{findings: f, blocks: []map[int]int{{}}}
	for i, tk := range tokens {
		at := positionAt(tk.Position)
		if tk.Type == token.InvalidType {
			// What follows a broken token is noise.
			f.errorf(at, "", "%s", syntaxReason(tk.Error))
			return false
		}
		if msg := refusedToken(tk.Type); msg != "" {
			f.errorf(at, "", "%s", msg)
			g.bad = true
			continue
		}
		g.document(tk, at)
		g.structure(tokens, i, at)
		if len(f.errors) >= maxCollected || g.deep {
			return false
		}
	}
	return !g.bad
}

func refusedToken(t token.Type) string {
	switch t {
	case token.AnchorType, token.AliasType, token.MergeKeyType:
		return "anchors, aliases and merge keys are not allowed; write the value out (or quote text that begins with & or *)"
	case token.TagType:
		return "tags are not allowed (quote text that begins with !)"
	case token.DirectiveType:
		return "directives are not allowed (quote text that begins with %)"
	case token.MappingKeyType:
		return "complex keys (?) are not allowed"
	case token.LiteralType, token.FoldedType:
		return "block text (| and >) is not allowed; write the text in one line"
	}
	return ""
}

// guard follows the tokens of one document.
type guard struct {
	*findings
	bad, deep bool
	// content is set by the first token of the document's body, ended by
	// "...", headers counts "---".
	content, ended bool
	headers        int
	// blocks has, for the block context and each open [ or {, the number of
	// keys seen so far at each column.
	blocks []map[int]int
}

func (g *guard) fail(at position, format string, args ...any) {
	g.bad = true
	g.errorf(at, "", format, args...)
}

// document holds the stream to one document.
func (g *guard) document(tk *token.Token, at position) {
	switch tk.Type {
	case token.CommentType:
	case token.DocumentHeaderType:
		g.headers++
		if g.headers > 1 || g.content || g.ended {
			g.fail(at, "a second document begins here; a file holds exactly one")
			g.deep = true
		}
	case token.DocumentEndType:
		g.ended = true
	default:
		if g.ended {
			g.fail(at, "text after the end of the document")
			g.deep = true
		}
		g.content = true
	}
}

// structure bounds depth, and keys for each mapping.
func (g *guard) structure(tokens token.Tokens, i int, at position) {
	inFlow := len(g.blocks) > 1
	keys := g.blocks[len(g.blocks)-1]
	switch tokens[i].Type {
	case token.MappingStartType, token.SequenceStartType:
		g.blocks = append(g.blocks, map[int]int{})
		if len(g.blocks)-1 > maxFlowDepth {
			g.fail(at, "[ ] and { } are nested more than %d deep", maxFlowDepth)
			g.deep = true
		}
	case token.MappingEndType, token.SequenceEndType:
		if inFlow {
			g.blocks = g.blocks[:len(g.blocks)-1]
		}
	case token.CollectEntryType:
		if inFlow {
			clear(keys)
		}
	case token.SequenceEntryType:
		g.column(at, inFlow)
		forget(keys, at.column)
	case token.MappingValueType:
		if i > 0 {
			at = positionAt(tokens[i-1].Position)
		}
		g.column(at, inFlow)
		forget(keys, at.column)
		keys[at.column]++
		if keys[at.column] > maxKeys {
			g.fail(at, "a mapping has more than %d keys", maxKeys)
			g.deep = true
		}
	}
}

func (g *guard) column(at position, inFlow bool) {
	if !inFlow && at.column > maxIndent {
		g.fail(at, "indented by more than %d columns", maxIndent)
		g.deep = true
	}
}

// forget drops the counts of blocks deeper than column: they have ended.
func forget(keys map[int]int, column int) {
	for c := range keys {
		if c > column {
			delete(keys, c)
		}
	}
}
