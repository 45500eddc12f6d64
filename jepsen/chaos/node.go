package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fault/proc"
	"github.com/zerokeeper/zero/jepsen/fleet"
)

const (
	machinePort = 7001
	peoplePort  = 7101
	askTimeout  = 400 * time.Millisecond // for one look at a keeper
)

// Node is one keeper, its place in the network and its disk.
type Node struct {
	*fleet.Proc
	index  int
	port   int // for machines
	quorum *Quorum
	disk   fault.Disk  // nil: a plain directory
	clock  fault.Clock // nil: the machine's
	writes writes      // as metrics had them last
	mount  string      // what the disk is mounted on, or the plain directory
}

// writes are a keeper's durable writes so far: their seconds and their number.
type writes struct{ sum, count float64 }

// Addr is host:port for machines.
func (n *Node) Addr() string {
	return fmt.Sprintf("%s:%d", n.quorum.net.Addr(n.index), n.port)
}

// HTTP is host:port for people.
func (n *Node) HTTP() string {
	return fmt.Sprintf("%s:%d", n.quorum.net.Addr(n.index), peoplePort)
}

// Data is the keeper's data directory.
func (n *Node) Data() string { return filepath.Join(n.mount, "data") }

// stored is where the data directory can be read when the keeper has stopped. A
// volume that this process serves must not be read by this process.
func (n *Node) stored() string {
	if n.quorum.backing {
		return filepath.Join(backingOf(n.mount), "data")
	}
	return n.Data()
}

// backingOf is the directory that a FUSE volume passes through.
func backingOf(mount string) string { return mount + ".backing" }

// ask fetches a page of the keeper. It is only for what has no side effects.
func (n *Node) ask(ctx context.Context, path string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTP()+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := n.quorum.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(body), err
}

// leads reports whether the keeper says that it leads.
func (n *Node) leads(ctx context.Context) bool {
	status, _, err := n.ask(ctx, "/leaderz")
	return err == nil && status == http.StatusOK
}

// ready reports why the keeper is not ready.
func (n *Node) ready(ctx context.Context) error {
	status, body, err := n.ask(ctx, "/readyz")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", n.Name(), body)
	}
	return err
}

// breaker breaks the running process.
func (n *Node) breaker() (*proc.Proc, error) {
	if !n.Running() {
		return nil, fmt.Errorf("%s: %w", n.Name(), fleet.ErrNotRunning)
	}
	return proc.New(n.PID(), proc.Options{DataPath: n.mount})
}

// endsBySelf waits until the process ended, as a fault makes it end.
func (n *Node) endsBySelf(ctx context.Context, within time.Duration) (string, error) {
	n.ExpectEnd()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	status, err := n.Wait(ctx)
	if err != nil {
		return "", fmt.Errorf("%s did not end within %v", n.Name(), within)
	}
	return fmt.Sprintf("%s: %s", n.Name(), status), nil
}

// wallSkew is by how much the keeper's wall clock differs from ours, by the date
// of its answers, which has a resolution of one second.
func (n *Node) wallSkew(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTP()+"/livez", nil)
	if err != nil {
		return 0, err
	}
	resp, err := n.quorum.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0, err
	}
	return time.Until(date), nil
}
