package daemon

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version is the release, "dev" unless it is set when the binary is linked:
//
//	go build -ldflags "-X github.com/zerokeeper/zero/cli/daemon.Version=v0.1.0"
var Version = "dev"

// Build says what a binary was made of.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// ThisBuild describes the running binary.
func ThisBuild() Build {
	b := Build{Version: Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	modified := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified && b.Commit != "" {
		b.Commit += "+"
	}
	return b
}

// String is one line: "v0.1.0 (commit 0123456789ab, go1.26.0, linux/amd64)".
func (b Build) String() string {
	commit := ""
	if b.Commit != "" {
		commit = "commit " + b.Commit + ", "
	}
	return fmt.Sprintf("%s (%s%s, %s/%s)", b.Version, commit, b.Go, b.OS, b.Arch)
}
