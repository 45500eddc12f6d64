package ctl

import (
	"io"
	"os"
	"os/user"

	"golang.org/x/sys/unix"
)

// Streams is the world of a command.
type Streams struct {
	In             io.Reader
	Out, Err       io.Writer
	InTTY          bool
	OutTTY, ErrTTY bool
	LookupEnv      func(string) (string, bool)
}

// ProcessStreams are those of the process.
func ProcessStreams() Streams {
	return Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTTY: isTerminal(os.Stdin), OutTTY: isTerminal(os.Stdout), ErrTTY: isTerminal(os.Stderr),
		LookupEnv: os.LookupEnv,
	}
}

// color says whether a stream that is a terminal may be coloured
// (https://no-color.org).
func (s *Streams) color(tty bool) bool {
	if !tty {
		return false
	}
	if none, ok := s.LookupEnv("NO_COLOR"); ok && none != "" {
		return false
	}
	term, _ := s.LookupEnv("TERM")
	return term != "dumb"
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Operator names who asks, for the record: user@host.
func Operator() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}
