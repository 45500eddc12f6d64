package conf

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrVersion is what every error of [ParseVersion] is.
var ErrVersion = errors.New("bad configuration version")

// Version is the version of a configuration, a.b.c. The zero Version means
// "none yet". b and c are single digits that carry, so that versions sort as
// three-digit numbers do.
type Version struct{ A, B, C int64 }

// maxVersionDigits bounds a, well below the range of int64.
const maxVersionDigits = 15

// ParseVersion reads "a.b.c": a is 0 or more, b and c are 0 to 9, no leading
// zeros. The error is [ErrVersion].
func ParseVersion(s string) (Version, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return Version{}, fmt.Errorf("%w: must be a.b.c, such as 1.0.0", ErrVersion)
	}
	var n [3]int64
	for i, part := range parts {
		digits := 1
		if i == 0 {
			digits = maxVersionDigits
		}
		if part == "" || len(part) > digits || strings.Trim(part, "0123456789") != "" || len(part) > 1 && part[0] == '0' {
			return Version{}, fmt.Errorf("%w: must be a.b.c, with b and c from 0 to 9 and no leading zeros", ErrVersion)
		}
		v, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return Version{}, fmt.Errorf("%w: %w", ErrVersion, err)
		}
		n[i] = v
	}
	return Version{n[0], n[1], n[2]}, nil
}

// String is "a.b.c".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.A, v.B, v.C) }

// IsZero reports whether there is no version yet.
func (v Version) IsZero() bool { return v == Version{} }

// NextFull is the version after a push of a whole document: a+1.0.0. The first
// one is 1.0.0.
func (v Version) NextFull() Version { return Version{A: v.A + 1} }

// NextEdit is the version after the edit of single keys: c+1, and 9 carries to
// b, and b's 9 to a. After the zero Version it is 1.0.0.
func (v Version) NextEdit() Version {
	switch {
	case v.IsZero(), v.B >= 9 && v.C >= 9:
		return v.NextFull()
	case v.C >= 9:
		return Version{v.A, v.B + 1, 0}
	}
	return Version{v.A, v.B, v.C + 1}
}

// Compare is -1, 0 or +1 as v is older than, equal to or newer than w.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.A, w.A), cmp.Compare(v.B, w.B), cmp.Compare(v.C, w.C))
}

// MarshalText is String.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is [ParseVersion].
func (v *Version) UnmarshalText(text []byte) error {
	parsed, err := ParseVersion(string(text))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}
