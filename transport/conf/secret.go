package conf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf8"
)

// Errors of references and secrets. None ever holds a secret.
var (
	// ErrLiteralSecret: a password stands in the clear where a reference is
	// required.
	ErrLiteralSecret = errors.New("literal secret")
	// ErrBadReference: text that begins like a reference is not one.
	ErrBadReference = errors.New("bad reference")
	// ErrSecret: a reference cannot be resolved to a usable secret.
	ErrSecret = errors.New("secret not usable")
)

const (
	literalRefused = "a literal password is refused; write ${file:/path} or ${env:NAME}"
	redacted       = "[redacted]"
	maxRefName     = 1024
)

// Ref is a password as the configuration gives it: a reference such as
// ${file:/etc/zero/app.pw} or ${env:APP_PW}, or, in development mode only, the
// password itself. Printed, a reference is shown and a literal is not.
type Ref string

// Literal reports whether the Ref is a password, not a reference to one.
func (r Ref) Literal() bool { return !strings.HasPrefix(string(r), "${") }

// Resolve is [ResolveSecret] of the Ref.
func (r Ref) Resolve(readFile func(string) ([]byte, error), getenv func(string) (string, bool), dev bool) (Secret, error) {
	return ResolveSecret(string(r), readFile, getenv, dev)
}

// String is the reference, or "[redacted]".
func (r Ref) String() string {
	if r.Literal() {
		return redacted
	}
	return string(r)
}

// GoString is String.
func (r Ref) GoString() string { return r.String() }

// Format writes String for every verb.
func (r Ref) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, r.String()) }

// MarshalText is String.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Secret is a resolved password. However it is printed or marshalled it reads
// "[redacted]"; only Reveal gives it away. (And encoding/json, of a map with
// secrets as keys: do not do that.)
type Secret string

// Reveal is the secret itself, for the one place that logs in with it.
func (s Secret) Reveal() string { return string(s) }

// String is "[redacted]".
func (s Secret) String() string { return redacted }

// GoString is "[redacted]".
func (s Secret) GoString() string { return redacted }

// Format writes "[redacted]" for every verb.
func (s Secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// MarshalText is "[redacted]".
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON is "[redacted]".
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// parseRef splits a reference into its scheme (file or env) and its name. A
// literal has no scheme.
func parseRef(ref string) (scheme, name string, err error) {
	if Ref(ref).Literal() {
		return "", "", nil
	}
	inner, closed := strings.CutSuffix(strings.TrimPrefix(ref, "${"), "}")
	scheme, name, found := strings.Cut(inner, ":")
	switch {
	case !closed:
		return "", "", fmt.Errorf("%w: the closing } is missing, or text follows it", ErrBadReference)
	case !found || scheme != "file" && scheme != "env":
		return "", "", fmt.Errorf("%w: must be ${file:/path} or ${env:NAME}", ErrBadReference)
	case len(name) > maxRefName:
		return "", "", fmt.Errorf("%w: longer than %d bytes", ErrBadReference, maxRefName)
	case scheme == "file" && !validPath(name):
		return "", "", fmt.Errorf("%w: the path in ${file:…} must be absolute, and plain (no //, /./, /../, { or })", ErrBadReference)
	case scheme == "env" && !validEnv(name):
		return "", "", fmt.Errorf("%w: the name in ${env:…} must be letters, digits and _, no digit first", ErrBadReference)
	}
	return scheme, name, nil
}

func validPath(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && p != "/" && utf8.ValidString(p) && isPrintable(p) && !strings.ContainsAny(p, "{}")
}

func validEnv(name string) bool {
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		return false
	}
	for i := range len(name) {
		if !isAlphanumeric(name[i]) && name[i] != '_' {
			return false
		}
	}
	return true
}

// checkRef checks the form of a password in the configuration.
func checkRef(ref string, dev bool) error {
	scheme, _, err := parseRef(ref)
	switch {
	case err != nil:
		return err
	case scheme != "":
		return nil
	case ref == "" && !dev:
		return errors.New("an empty password is refused; write ${file:/path} or ${env:NAME}")
	case !dev:
		return errors.New(literalRefused)
	}
	return checkSecret(ref)
}

// checkSecret is what any secret must be, literal or resolved.
func checkSecret(s string) error {
	switch {
	case len(s) > MaxSecret:
		return fmt.Errorf("%w: longer than %d bytes", ErrSecret, MaxSecret)
	case strings.ContainsAny(s, "\x00\r\n"):
		return fmt.Errorf("%w: holds a line break or a NUL byte; a secret is one line", ErrSecret)
	}
	return nil
}

// ResolveSecret turns a password of the configuration into the secret, on the
// host that needs it. readFile (os.ReadFile) and getenv (os.LookupEnv) are only
// called for references of their kind. One newline at the end is dropped; a
// secret has at most [MaxSecret] bytes in one line, and at least one byte
// unless dev is set. dev also allows a literal.
//
// Errors name the reference, never its value: [ErrLiteralSecret],
// [ErrBadReference], [ErrSecret], or what readFile returned.
func ResolveSecret(ref string, readFile func(string) ([]byte, error), getenv func(string) (string, bool), dev bool) (Secret, error) {
	scheme, name, err := parseRef(ref)
	if err != nil {
		return "", fmt.Errorf("resolve secret: %w", err)
	}
	var value string
	switch scheme {
	case "file":
		content, err := readFile(name)
		if err != nil {
			return "", fmt.Errorf("resolve %s: %w", ref, err)
		}
		if len(content) > MaxSecret+2 {
			return "", fmt.Errorf("resolve %s: %w: longer than %d bytes", ref, ErrSecret, MaxSecret)
		}
		value = string(content)
	case "env":
		content, found := getenv(name)
		if !found {
			return "", fmt.Errorf("resolve %s: %w: the environment variable is not set", ref, ErrSecret)
		}
		value = content
	default:
		if !dev {
			return "", fmt.Errorf("resolve secret: %w: write ${file:/path} or ${env:NAME}", ErrLiteralSecret)
		}
		if err := checkSecret(ref); err != nil {
			return "", fmt.Errorf("resolve secret: %w", err)
		}
		return Secret(ref), nil
	}
	value = trimNewline(value)
	if err := checkSecret(value); err != nil {
		return "", fmt.Errorf("resolve %s: %w", ref, err)
	}
	if value == "" && !dev {
		return "", fmt.Errorf("resolve %s: %w: it is empty", ref, ErrSecret)
	}
	return Secret(value), nil
}

func trimNewline(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
}
