package conf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parseDocument turns checked text into the one mapping that it must hold. The
// library's tree is used, not its decoder: the decoder stops at the first error
// and shows the source, passwords included. It returns nil after an error.
func parseDocument(f *findings, text []byte) (root *ast.MappingNode) {
	defer func() {
		// The library is fuzzed, and so is this package; should one of its
		// slice bounds fail all the same, a keeper must not fall over a file.
		if r := recover(); r != nil {
			f.errorf(position{1, 1}, "", "not readable as YAML (the parser failed on it)")
			root = nil
		}
	}()
	tokens := lexer.Tokenize(string(text))
	if !checkTokens(f, tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		at, msg := syntaxError(err)
		f.errorf(at, "", "%s", msg)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			f.errorf(positionOf(doc.Body), "", "a second document; a file holds exactly one")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		f.errorf(position{1, 1}, "", "the document is empty")
		return nil
	}
	root, ok := body.(*ast.MappingNode)
	if !ok {
		f.errorf(positionOf(body), "", "the document must be a mapping of sections (basic, switch, host_groups, …), not %s", describe(body))
		return nil
	}
	return root
}

// syntaxError is the place and the reason of a library's error. Not all of the
// library's reasons are constant: what follows a quotation mark is text of the
// document, which may be a password, and is cut off.
func syntaxError(err error) (position, string) {
	at := position{1, 1}
	reason, hint := "", ""
	if lib, ok := errors.AsType[yaml.Error](err); ok {
		reason = lib.GetMessage()
		if tk := lib.GetToken(); tk != nil && tk.Position != nil {
			at = positionAt(tk.Position)
			if tk.Prev != nil && (tk.Prev.Type == token.SequenceEndType || tk.Prev.Type == token.MappingEndType) {
				hint = " (text that begins with [ or {, such as an IPv6 address, needs quotes)"
			}
		}
	}
	return at, syntaxReason(reason) + hint
}

func syntaxReason(reason string) string {
	reason, _, _ = strings.Cut(reason, `"`)
	reason = strings.TrimRight(reason, ": ")
	if reason == "" || !isPrintable(reason) {
		return "not valid YAML"
	}
	return "not valid YAML: " + reason
}

func positionAt(p *token.Position) position {
	return position{max(p.Line, 1), max(p.Column, 1)}
}

func positionOf(n ast.Node) position {
	if n != nil {
		if tk := n.GetToken(); tk != nil && tk.Position != nil {
			return positionAt(tk.Position)
		}
	}
	return position{1, 1}
}

// describe names the kind of a node for an error, never its value.
func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return "a boolean"
	case *ast.IntegerNode:
		return "an integer"
	case *ast.FloatNode:
		return "a fraction"
	case *ast.InfinityNode, *ast.NanNode:
		return "infinity or NaN"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	}
	return fmt.Sprintf("a %s", strings.ToLower(n.Type().String()))
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}
