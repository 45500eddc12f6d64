package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size is a number of bytes on the command line: 64MiB, 1GiB, 4096.
type size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// Set implements pflag.Value.
func (s *size) Set(text string) error {
	unit, number := int64(1), text
	for _, u := range sizeUnits {
		if head, ok := strings.CutSuffix(text, u.name); ok {
			unit, number = u.bytes, head
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q: want a size like 64MiB, 1GiB or 0", text)
	}
	*s = size(n * unit)
	return nil
}

// String is the size in the largest unit that fits exactly.
func (s *size) String() string {
	for _, u := range sizeUnits {
		if *s != 0 && int64(*s)%u.bytes == 0 {
			return strconv.FormatInt(int64(*s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Type implements pflag.Value.
func (*size) Type() string { return "size" }
