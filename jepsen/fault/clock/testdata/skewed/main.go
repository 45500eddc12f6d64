// Skewed answers each line of standard input with what it sees of time: the wall clock in nanoseconds since 1970, the time
// since its start by the monotonic clock, and a time since its start that was only ever a wall clock's.
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

// early is read while packages are initialised.
var early = time.Now()

func main() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		now := time.Now()
		fmt.Println(now.UnixNano(), int64(now.Sub(early)), int64(now.Round(0).Sub(early.Round(0))), int64(time.Since(early)))
	}
}
