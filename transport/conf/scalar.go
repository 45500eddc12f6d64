package conf

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// optional is a value that a document may leave out.
type optional[T any] struct {
	set   bool
	value T
}

// or is the value, or preset if there is none.
func (o optional[T]) or(preset T) T {
	if o.set {
		return o.value
	}
	return preset
}

// over is o, or base where o is absent.
func (o optional[T]) over(base optional[T]) optional[T] {
	if o.set {
		return o
	}
	return base
}

func given[T any](v T) optional[T] { return optional[T]{true, v} }

// text is a key's text.
func (m *mapping) text(name string) (string, bool) {
	n, ok := m.node(name)
	if !ok {
		return "", false
	}
	s, ok := n.(*ast.StringNode)
	if !ok {
		m.fail(name, "must be text, not %s%s", describe(n), quoteHint(n))
		return "", false
	}
	return s.Value, true
}

// quoteHint helps where a scalar was meant as text.
func quoteHint(n ast.Node) string {
	if _, scalar := n.(ast.ScalarNode); scalar {
		return "; put it in quotes"
	}
	return ""
}

// unquoteHint helps where text was meant as a number.
func unquoteHint(n ast.Node) string {
	if t := n.GetToken().Type; t == token.DoubleQuoteType || t == token.SingleQuoteType {
		return "; write it without quotes"
	}
	return ""
}

func (m *mapping) boolean(name string) (o optional[bool]) {
	n, ok := m.node(name)
	if !ok {
		return o
	}
	b, ok := n.(*ast.BoolNode)
	if !ok {
		m.fail(name, "must be true or false, not %s", describe(n))
		return o
	}
	return given(b.Value)
}

// number is a key's decimal number, with no range yet.
func (m *mapping) number(name string) (o optional[float64]) {
	n, ok := m.node(name)
	if !ok {
		return o
	}
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
	default:
		m.fail(name, "must be a number, not %s%s", describe(n), unquoteHint(n))
		return o
	}
	digits := n.GetToken().Value
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || strings.Trim(digits, "+-.0123456789eE") != "" || math.IsInf(v, 0) || math.IsNaN(v) {
		m.fail(name, "must be a decimal number")
		return o
	}
	return given(v)
}

// decimal is the value of an integer node. Only plain decimal digits count:
// YAML readers do not agree on 010, 0x10 and 1_000.
func decimal(n ast.Node) (int64, bool) {
	digits := n.GetToken().Value
	unsigned := strings.TrimPrefix(digits, "-")
	if strings.Trim(unsigned, "0123456789") != "" || len(unsigned) > 1 && unsigned[0] == '0' {
		return 0, false
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	return v, err == nil
}

// integer is a key's integer, in the range of the schema.
func (m *mapping) integer(name string) (o optional[int64]) {
	n, ok := m.node(name)
	if !ok {
		return o
	}
	if _, ok := n.(*ast.IntegerNode); !ok {
		m.fail(name, "must be an integer, not %s%s", describe(n), unquoteHint(n))
		return o
	}
	v, ok := decimal(n)
	if !ok {
		m.fail(name, "must be a decimal integer below 2^63, without leading zeros")
		return o
	}
	key := m.key(name)
	if v < key.lowest || v > key.highest {
		m.fail(name, "is %d; must be %s", v, key.Range)
		return o
	}
	return given(v)
}

// duration is a key's duration, in the range of the schema.
func (m *mapping) duration(name string) (o optional[time.Duration]) {
	n, ok := m.node(name)
	if !ok {
		return o
	}
	key := m.key(name)
	var d time.Duration
	switch n := n.(type) {
	case *ast.IntegerNode:
		seconds, ok := decimal(n)
		if !ok || seconds < 0 || seconds > math.MaxInt64/int64(time.Second) {
			m.fail(name, "must be a number of seconds; allowed: %s", key.Range)
			return o
		}
		d = time.Duration(seconds) * time.Second
	case *ast.StringNode:
		var err error
		if d, err = time.ParseDuration(n.Value); err != nil {
			m.fail(name, "must be an integer (seconds) or a duration such as 250ms or 1m30s")
			return o
		}
	default:
		m.fail(name, "must be an integer (seconds) or a duration such as 250ms, not %s", describe(n))
		return o
	}
	if d == 0 && name == "backend_ping_interval" {
		// The original allows 0.
		return given(time.Duration(key.preset))
	}
	if d < time.Duration(key.lowest) || d > time.Duration(key.highest) {
		m.fail(name, "is %s; must be %s", formatDuration(d), key.Range)
		return o
	}
	return given(d)
}

// name is the name of a cluster or a host group; "" after an error.
func (m *mapping) name(name string) string {
	s, ok := m.text(name)
	if !ok {
		return ""
	}
	if !validName(s) {
		m.fail(name, "must be %s", nameRange)
		return ""
	}
	return s
}

func validName(s string) bool {
	if s == "" || len(s) > MaxName || !isAlphanumeric(s[0]) {
		return false
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && s[i] != '.' && s[i] != '_' && s[i] != '-' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// account is a MySQL account's user name; "" after an error.
func (m *mapping) account(name string) string {
	s, ok := m.text(name)
	if !ok {
		return ""
	}
	if s == "" || len(s) > MaxUserName || !utf8.ValidString(s) || !isPrintable(s) || strings.ContainsAny(s, " \u00a0") {
		m.fail(name, "must be %s", userRange)
		return ""
	}
	return s
}

// password is a key's password; the zero Ref after an error.
func (m *mapping) password(name string, dev bool) (Ref, bool) {
	n, ok := m.node(name)
	if !ok {
		return "", false
	}
	s, isText := n.(*ast.StringNode)
	if !isText && !dev {
		// Also for numbers and the like: those are literals to whoever wrote them.
		m.fail(name, "%s", literalRefused)
		return "", false
	}
	if !isText {
		m.fail(name, "must be text, not %s%s", describe(n), quoteHint(n))
		return "", false
	}
	if err := checkRef(s.Value, dev); err != nil {
		m.fail(name, "%s", err)
		return "", false
	}
	ref := Ref(s.Value)
	if ref.Literal() {
		m.warnf(m.where(name), m.keyPath(name), "a literal password; only development mode accepts it")
	}
	return ref, true
}
