package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Flavor is the family of a database server.
type Flavor string

// The flavors that are told apart. Only MariaDB is driven.
const (
	MariaDB Flavor = "mariadb"
	MySQL   Flavor = "mysql"
)

// Version is a server's version.
type Version struct {
	Flavor              Flavor
	Major, Minor, Patch int
}

// ParseVersion reads @@version, such as 10.11.19-MariaDB-log or 8.0.36.
func ParseVersion(s string) (Version, error) {
	v := Version{Flavor: MySQL}
	if strings.Contains(strings.ToLower(s), "mariadb") {
		v.Flavor = MariaDB
	}
	number, _, _ := strings.Cut(s, "-")
	parts := strings.Split(number, ".")
	if len(parts) != 3 {
		return Version{}, fmt.Errorf("%w: version %q", ErrUnsupported, clip(s))
	}
	for i, into := range []*int{&v.Major, &v.Minor, &v.Patch} {
		n, err := strconv.ParseUint(parts[i], 10, 16)
		if err != nil {
			return Version{}, fmt.Errorf("%w: version %q", ErrUnsupported, clip(s))
		}
		*into = int(n)
	}
	return v, nil
}

// AtLeast reports whether v is that release or a later one.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Series is what replicates without surprises: the same flavor and major.minor.
func (v Version) Series() string {
	return fmt.Sprintf("%s %d.%d", v.Flavor, v.Major, v.Minor)
}

// Supported returns an error that wraps ErrUnsupported for a server that zero does not drive.
func (v Version) Supported() error {
	if v.Flavor != MariaDB || !v.AtLeast(10, 6) {
		return fmt.Errorf("%w: %s.%d: MariaDB 10.6 or later is needed", ErrUnsupported, v.Series(), v.Patch)
	}
	return nil
}

// superWrites reports whether SUPER alone writes on a read-only server, as it
// did until READ_ONLY ADMIN was split from it.
func (v Version) superWrites() bool { return !v.AtLeast(10, 11) }

// demotes reports whether CHANGE MASTER knows MASTER_DEMOTE_TO_SLAVE.
func (v Version) demotes() bool { return v.AtLeast(10, 10) }

// version asks the server for its version.
func (c *session) version(ctx context.Context) (Version, error) {
	s, err := c.value(ctx, "read version", "SELECT @@global.version")
	if err != nil {
		return Version{}, err
	}
	return ParseVersion(s)
}

func (c *session) supported(ctx context.Context) error {
	v, err := c.version(ctx)
	if err != nil {
		return err
	}
	return v.Supported()
}
