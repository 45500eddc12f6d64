package mysql

import (
	"errors"
	"fmt"
	"strings"
)

// ErrBadLiteral is returned for text that cannot stand in a replication
// setting: control characters, which would also break the server's
// line-oriented master.info, invalid UTF-8, or too many bytes.
var ErrBadLiteral = errors.New("text not allowed in a replication setting")

// Longest values of CHANGE MASTER, in bytes, as the server enforces them.
const (
	maxHostLiteral     = 255
	maxUserLiteral     = 128
	maxPasswordLiteral = 96
	maxPathLiteral     = 511
)

// quote gives s as an SQL string literal. CHANGE MASTER takes no placeholders,
// so this is all that stands between a password and the statement. It is right
// only in our sessions: they run with sql_mode=NO_BACKSLASH_ESCAPES, where a
// quote is the only special character, and with utf8mb4, where no multi-byte
// character contains one.
func quote(s string) (string, error) {
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r == '\uFFFD' {
			return "", fmt.Errorf("%w: it has a control character or is not UTF-8", ErrBadLiteral)
		}
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'", nil
}

// quoteMax is quote for a value of at most limit bytes.
func quoteMax(what, s string, limit int) (string, error) {
	if len(s) > limit {
		return "", fmt.Errorf("%s: %w: longer than %d bytes", what, ErrBadLiteral, limit)
	}
	q, err := quote(s)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	return q, nil
}
