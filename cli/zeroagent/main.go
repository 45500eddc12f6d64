// Command zeroagent runs beside one database server: it tells the keepers how
// the server is, and makes it what they decide.
package main

import (
	"os"

	"github.com/zerokeeper/zero/cli/daemon"
)

func main() { os.Exit(daemon.Main(new(options).app())) }
