package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

const (
	nodeLink = "eth0"
	// ipTimeout bounds one call of ip, which waits for nothing but the kernel.
	ipTimeout = 20 * time.Second
)

// networks counts those of this process, for names.
var networks atomic.Uint64

// driverLinkName is an interface name that is unique in the driver's namespace: at most 15 bytes.
func driverLinkName() string {
	return fmt.Sprintf("zc%d.%d", os.Getpid(), networks.Add(1)%1000)
}

// places are the namespaces of a network.
type places struct {
	cfg        Config
	driver     *os.File
	nodes      []*os.File
	paths      []string // of nodes
	driverLink string
}

// newPlaces makes the nodes' namespaces; the driver's is the calling thread's.
func newPlaces(cfg Config) (p *places, err error) {
	p = &places{cfg: cfg, driverLink: driverLinkName()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.driver, err = here(); err != nil {
		return p, err
	}
	if err := within(p.driver, prefixIsFree); err != nil {
		return p, err
	}
	for range cfg.Nodes {
		space, err := newSpace()
		if err != nil {
			return p, err
		}
		p.nodes = append(p.nodes, space)
		p.paths = append(p.paths, pathOf(space))
	}
	return p, nil
}

// prefixIsFree: two networks with the same addresses in one namespace would take each other's packets.
func prefixIsFree() error {
	links, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		addrs, err := l.Addrs()
		if err != nil {
			return fmt.Errorf("list the addresses of %s: %w", l.Name, err)
		}
		for _, a := range addrs {
			if n, err := netip.ParsePrefix(a.String()); err == nil && n.Masked().Overlaps(prefix) {
				return fmt.Errorf("%s has %s, which a network of nodes needs: close the other network first, or enter a namespace of your own", l.Name, n)
			}
		}
	}
	return nil
}

// each calls f for every place with its namespace and the name of its interface.
func (p *places) each(f func(place int, space *os.File, link string) error) error {
	for i, space := range p.nodes {
		if err := f(i, space, nodeLink); err != nil {
			return fmt.Errorf("node %d: %w", i, err)
		}
	}
	if err := f(fault.Driver, p.driver, p.driverLink); err != nil {
		return fmt.Errorf("driver: %w", err)
	}
	return nil
}

// address gives a place its address and brings its interface, which must exist, up.
func (p *places) address(place int, space *os.File, link string) error {
	batch := fmt.Sprintf("addr add %s/%d dev %s\nlink set %s up\n", p.cfg.addr(place), prefixBits, link, link)
	if place != fault.Driver {
		return ip(space, "link set lo up\n"+batch)
	}
	// Of the driver's namespace only this interface is ours.
	if err := within(space, func() error { return noIPv6(link) }); err != nil {
		return err
	}
	return ip(space, batch)
}

// Addr is where a node, or Driver, is reached; the zero Addr if there is no such node.
func (p *places) Addr(node int) netip.Addr { return p.cfg.addr(node) }

// Namespace is the path of a node's network namespace, for In, nsenter and the like, until Close. It is empty for the driver
// and for a node that is none.
func (p *places) Namespace(node int) string {
	if node < 0 || node >= len(p.paths) {
		return ""
	}
	return p.paths[node]
}

// close lets go of the namespaces. Those in which processes live end with them.
func (p *places) close() error {
	var errs []error
	for _, space := range append(p.nodes, p.driver) {
		if space != nil {
			errs = append(errs, space.Close())
		}
	}
	return errors.Join(errs...)
}

// ip runs a batch of ip's commands in a namespace.
func ip(space *os.File, batch string) error {
	_, err := runIP(space, batch, "-batch", "-")
	return err
}

// runIP runs ip in a namespace and returns what it printed.
func runIP(space *os.File, stdin string, args ...string) ([]byte, error) {
	path, err := lookIP()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), ipTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := within(space, cmd.Run); err != nil {
		return nil, fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// lookIP finds ip, which on Debian is not in an ordinary user's PATH.
func lookIP() (string, error) {
	path, err := exec.LookPath("ip")
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, "ip"))
	}
	if err != nil {
		return "", fmt.Errorf("ip is missing, install iproute2: %w", err)
	}
	return path, nil
}

// linkNames are the interfaces of a namespace but lo.
func linkNames(space *os.File) ([]string, error) {
	var names []string
	err := within(space, func() error {
		links, err := net.Interfaces()
		for _, l := range links {
			if l.Flags&net.FlagLoopback == 0 {
				names = append(names, l.Name)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return names, nil
}
