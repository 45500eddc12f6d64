package sim

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

// leftover is what a bubble leaves behind that does not end.
type leftover struct {
	why   string
	leaks []string // stacks
}

// bubble runs f in a bubble of its own and waits for its goroutines. Where some
// never end the bubble panics, and their stacks are returned.
func bubble(t *testing.T, f func()) (left leftover) {
	var number string
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		left.why = fmt.Sprint(p)
		if number == "" || !strings.Contains(left.why, "deadlock") {
			panic(p)
		}
		left.leaks = bubbled(stacks(), number)
	}()
	synctest.Test(t, func(*testing.T) {
		number = bubbleNumber()
		f()
	})
	return left
}

var inBubble = regexp.MustCompile(`^goroutine \d+ [^\n]*synctest bubble (\d+)`)

// bubbleNumber is the runtime's number of the bubble that calls it.
func bubbleNumber() string {
	own := make([]byte, 256)
	if m := inBubble.FindSubmatch(own[:runtime.Stack(own, false)]); m != nil {
		return string(m[1])
	}
	return ""
}

// stacks are those of all goroutines.
func stacks() []string {
	for size := 1 << 20; ; size *= 2 {
		all := make([]byte, size)
		if n := runtime.Stack(all, true); n < size {
			return strings.Split(string(all[:n]), "\n\n")
		}
	}
}

// bubbled are the stacks of one bubble.
func bubbled(stacks []string, number string) []string {
	var own []string
	for _, s := range stacks {
		if m := inBubble.FindStringSubmatch(s); m != nil && m[1] == number {
			own = append(own, s)
		}
	}
	return own
}
