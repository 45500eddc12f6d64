package conf

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// mapping is a checked mapping node: its keys are known and given once. A nil
// *mapping stands for one that is absent or broken; it has no keys.
type mapping struct {
	*findings
	// path names the mapping in errors (host_groups[0]), kind in the schema
	// (host_groups[]).
	path, kind string
	at         position
	fields     map[string]ast.Node
}

// newMapping checks the keys of a mapping against the schema's section kind.
func newMapping(f *findings, n *ast.MappingNode, path, kind string) *mapping {
	m := &mapping{findings: f, path: path, kind: kind, at: positionOf(n), fields: map[string]ast.Node{}}
	seen := map[string]position{}
	for i, value := range n.Values {
		name, at := value.Key.GetToken().Value, positionOf(value.Key)
		if i == 0 {
			// A block mapping's own token is its first colon.
			m.at = at
		}
		if value.Start == nil || value.Start.Type != token.MappingValueType {
			// {a, b}: a slip. The word may be a value; it is not repeated.
			f.errorf(at, path, "a word without a value; write key: value")
			continue
		}
		if first, twice := seen[name]; twice {
			f.errorf(at, m.keyPath(name), "given twice; first at line %d", first.line)
			continue
		}
		seen[name] = at
		if path == "" && slices.Contains(refusedSections, name) {
			f.errorf(at, name, "zero does not shard; remove this section")
			continue
		}
		if !slices.Contains(keysOf[kind], name) {
			f.errorf(at, m.keyPath(name), "unknown key%s", m.hint(name))
			continue
		}
		m.fields[name] = value.Value
	}
	return m
}

// keyPath is the path of a key. A name that does not look like a key is left
// out: it may be a value that slipped there.
func (m *mapping) keyPath(name string) string {
	if !looksLikeKey(name) {
		return m.path
	}
	if m.path == "" {
		return name
	}
	return m.path + "." + name
}

func looksLikeKey(name string) bool {
	return name != "" && len(name) <= MaxName && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
	})
}

// hint helps with an unknown key.
func (m *mapping) hint(name string) string {
	if places := sectionOfKey[name]; len(places) > 0 {
		return "; it belongs in " + strings.Join(places, " or ")
	}
	best, distance := "", 3
	for _, known := range keysOf[m.kind] {
		if d := editDistance(name, known); d < distance {
			best, distance = known, d
		}
	}
	if best != "" {
		return "; did you mean " + best + "?"
	}
	return "; known here: " + strings.Join(keysOf[m.kind], ", ")
}

// editDistance is the Levenshtein distance of two short strings; of long ones
// it is only known to be large.
func editDistance(a, b string) int {
	if len(a) > MaxName || len(b) > MaxName {
		return MaxName
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// has reports whether the key was given, rightly or not.
func (m *mapping) has(name string) bool {
	if m == nil {
		return false
	}
	_, ok := m.fields[name]
	return ok
}

// where is the place of a key's value, or of the mapping if it is absent.
func (m *mapping) where(name string) position {
	if n, ok := m.fields[name]; ok && n != nil {
		return positionOf(n)
	}
	return m.at
}

func (m *mapping) fail(name, format string, args ...any) {
	m.errorf(m.where(name), m.keyPath(name), format, args...)
}

// key is the schema's entry of a key of a section.
func (m *mapping) key(name string) Key { return keyByPath[m.kind+"."+name] }

// node is the value of a key; absent keys are missing, keys without a value
// are errors.
func (m *mapping) node(name string) (ast.Node, bool) {
	if m == nil {
		return nil, false
	}
	n, ok := m.fields[name]
	if !ok {
		return nil, false
	}
	if _, null := n.(*ast.NullNode); n == nil || null {
		m.fail(name, "has no value; give one or remove the key")
		return nil, false
	}
	return n, true
}

// section is the mapping under a key, or nil.
func (m *mapping) section(name, kind string) *mapping {
	n, ok := m.node(name)
	if !ok {
		return nil
	}
	child, ok := n.(*ast.MappingNode)
	if !ok {
		m.fail(name, "must be a mapping, not %s", describe(n))
		return nil
	}
	return newMapping(m.findings, child, m.keyPath(name), kind)
}

// list is the mappings of the list under a key; broken entries are nil.
func (m *mapping) list(name string, limit int) []*mapping {
	n, ok := m.node(name)
	if !ok {
		return nil
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		m.fail(name, "must be a list, not %s", describe(n))
		return nil
	}
	if len(seq.Values) > limit {
		m.fail(name, "has %d entries; at most %d are allowed", len(seq.Values), limit)
		return nil
	}
	entries := make([]*mapping, 0, len(seq.Values))
	for i, value := range seq.Values {
		path := indexed(m.keyPath(name), i)
		child, ok := value.(*ast.MappingNode)
		if !ok {
			m.errorf(positionOf(value), path, "must be a mapping, not %s", describe(value))
			entries = append(entries, nil)
			continue
		}
		entries = append(entries, newMapping(m.findings, child, path, name+"[]"))
	}
	return entries
}
