package netns

import (
	"io"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// kinds are the constructors.
var kinds = []struct {
	name string
	make func(Config) (fault.Net, error)
}{
	{"bridge", func(c Config) (fault.Net, error) { return NewBridge(c) }},
	{"switch", func(c Config) (fault.Net, error) { return NewSwitch(c) }},
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			n, err := kind.make(Config{Nodes: 5})
			if err != nil {
				b.Fatal(err)
			}
			defer n.Close()
			c, err := dial(n, 1, echo(b, n, 0), patience)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			for b.Loop() {
				if err := call(c, "hello", patience); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStream sends, and gets back, a MiB at a time.
func BenchmarkStream(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			n, err := kind.make(Config{Nodes: 2})
			if err != nil {
				b.Fatal(err)
			}
			defer n.Close()
			c, err := dial(n, 1, echo(b, n, 0), patience)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			chunk := make([]byte, 1<<20)
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
					b.Fatal(err)
				}
				sent := make(chan error, 1)
				go func() {
					_, err := c.Write(chunk)
					sent <- err
				}()
				if _, err := io.CopyN(io.Discard, c, int64(len(chunk))); err != nil {
					b.Fatal(err)
				}
				if err := <-sent; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMakeAndClose(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				n, err := kind.make(Config{Nodes: 5})
				if err != nil {
					b.Fatal(err)
				}
				if err := n.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
