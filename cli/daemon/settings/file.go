package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds a settings file, in bytes; maxList a list in it; maxMarks the
// characters that nest or refer, on which the YAML parser's time is quadratic.
const (
	maxFile  = 64 << 10
	maxList  = 1000
	maxMarks = 1000
)

// entry is one key of the file.
type entry struct {
	flag   Flag
	line   int
	list   bool
	values []string // exactly one unless list
}

// readBounded reads a file of at most maxFile bytes.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes; is it the right file?", path, maxFile)
	}
	return data, nil
}

// parseFile reads the YAML: one mapping whose keys are names of the table and
// whose values are scalars or lists of scalars. The error lists every mistake,
// a line each.
func parseFile(data []byte, flags []Flag) ([]entry, error) {
	for _, mark := range []byte("[{&*!?|>\"'") {
		if n := bytes.Count(data, []byte{mark}); n > maxMarks {
			return nil, fmt.Errorf("  line 1: %d times %q; at most %d. Is it the right file?", n, mark, maxMarks)
		}
	}
	file, err := parseYAML(data)
	if err != nil {
		return nil, fmt.Errorf("  %s", oneLine(err))
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) == 0 {
		return nil, nil
	}
	if len(bodies) > 1 {
		return nil, fmt.Errorf("  line %d: a second document; want one", lineOf(bodies[1]))
	}
	pairs, err := pairsOf(bodies[0])
	if err != nil {
		return nil, err
	}
	var entries []entry
	var wrong []error
	seen := map[string]int{}
	for _, pair := range pairs {
		e, err := entryOf(pair, flags)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if first, ok := seen[e.flag.Name]; ok {
			wrong = append(wrong, fmt.Errorf("  line %d: %s is there already, in line %d", e.line, e.flag.Name, first))
			continue
		}
		seen[e.flag.Name] = e.line
		entries = append(entries, e)
	}
	return entries, errors.Join(wrong...)
}

// parseYAML is the library's parser. A panic of it is an error of the file.
func parseYAML(data []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not readable as YAML (%v)", r)
		}
	}()
	return parser.ParseBytes(data, 0)
}

// pairsOf is the content of the file's one mapping.
func pairsOf(body ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := body.(type) {
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	}
	return nil, fmt.Errorf("  line %d: want lines of the form \"flag: value\"", lineOf(body))
}

// entryOf reads one pair.
func entryOf(pair *ast.MappingValueNode, flags []Flag) (entry, error) {
	line := lineOf(pair.Key)
	name, ok := scalar(pair.Key)
	if !ok {
		return entry{}, fmt.Errorf("  line %d: a key is the name of a flag", line)
	}
	flag, ok := find(flags, name)
	if !ok {
		return entry{}, fmt.Errorf("  line %d: unknown key %q%s", line, name, suggestion(flags, name))
	}
	if text, ok := scalar(pair.Value); ok {
		return entry{flag: flag, line: line, values: []string{text}}, nil
	}
	seq, ok := pair.Value.(*ast.SequenceNode)
	if !ok {
		return entry{}, fmt.Errorf("  line %d: %s: want a value or a list of values", line, name)
	}
	if len(seq.Values) > maxList {
		return entry{}, fmt.Errorf("  line %d: %s: %d values; at most %d", line, name, len(seq.Values), maxList)
	}
	e := entry{flag: flag, line: line, list: true, values: []string{}}
	for _, item := range seq.Values {
		text, ok := scalar(item)
		if !ok {
			return entry{}, fmt.Errorf("  line %d: %s: want a list of plain values", lineOf(item), name)
		}
		e.values = append(e.values, text)
	}
	return e, nil
}

// find is the row of that name. --config does not name itself in a file.
func find(flags []Flag, name string) (Flag, bool) {
	for _, f := range flags {
		if f.Name == name && name != ConfigFlag {
			return f, true
		}
	}
	return Flag{}, false
}

// scalar is the text of a plain value, as it was written.
func scalar(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return strings.TrimSpace(n.GetToken().Value), true
	}
	return "", false
}

// lineOf is where a node starts, 1 for a node that does not know.
func lineOf(node ast.Node) int {
	if tok := node.GetToken(); tok != nil && tok.Position != nil {
		return tok.Position.Line
	}
	return 1
}

// oneLine is "line N: what" of a syntax error.
func oneLine(err error) string {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) && syntax.Token != nil && syntax.Token.Position != nil {
		return fmt.Sprintf("line %d: %s", syntax.Token.Position.Line, syntax.Message)
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}

// suggestion is the nearest name, when one is near enough to be meant.
func suggestion(flags []Flag, name string) string {
	if len(name) > 64 {
		return ""
	}
	best, least := "", 3
	for _, f := range flags {
		if d := distance(name, f.Name); d < least && f.Name != ConfigFlag {
			best, least = f.Name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the number of single-byte edits from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
