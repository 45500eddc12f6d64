// Command zeroproxy runs one proxy: MySQL clients connect to it, and it sends
// their statements where the keepers say.
package main

import (
	"os"

	"github.com/zerokeeper/zero/cli/daemon"
)

func main() { os.Exit(daemon.Main(new(options).app())) }
