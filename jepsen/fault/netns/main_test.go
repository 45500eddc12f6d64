package netns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fault/enter"
)

// patience bounds what must happen; moment is how long is waited for what must not.
const (
	patience = 20 * time.Second
	moment   = 60 * time.Millisecond
)

// tier is what these tests run in.
var tier fault.Tier

func TestMain(m *testing.M) {
	if os.Getenv(hang) != "" {
		os.Exit(makeAndHang())
	}
	want, err := enter.Wanted()
	if err == nil {
		tier, err = enter.Enter(want)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// need skips the test, and says so, in a lower tier; Enter has failed before where nothing may be skipped.
func need(t *testing.T, want fault.Tier) {
	t.Helper()
	if tier < want {
		t.Skipf("NOT TESTED: this runs in tier %s and needs %s: run as root", tier, want)
	}
}

// network is what both implementations have.
type network interface {
	fault.Net
	comparable
}

// made closes the network at the end of the test.
func made[N network](t *testing.T, n N, err error) N {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func set(t *testing.T, n fault.Net, rules map[fault.Pair]fault.Rule) {
	t.Helper()
	if err := n.Set(rules); err != nil {
		t.Fatal(err)
	}
}

func affected(t *testing.T, n fault.Net) uint64 {
	t.Helper()
	a, err := n.Affected()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// echo starts a TCP server in a place, which answers everything with the same, and returns its address.
func echo(t testing.TB, n fault.Net, place int) netip.AddrPort {
	t.Helper()
	var l net.Listener
	err := In(n.Namespace(place), func() (err error) {
		l, err = net.Listen("tcp4", netip.AddrPortFrom(n.Addr(place), 0).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []net.Conn
		ends := make(chan struct{})
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, c)
			go func() {
				_, _ = io.Copy(c, c) // until Close
				ends <- struct{}{}
			}()
		}
		for _, c := range conns {
			c.Close()
			<-ends
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// dial connects from a place.
func dial(n fault.Net, place int, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	var c net.Conn
	err := In(n.Namespace(place), func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		c, err = new(net.Dialer).DialContext(ctx, "tcp4", to.String())
		return err
	})
	return c, err
}

func dialed(t *testing.T, n fault.Net, place int, to netip.AddrPort) net.Conn {
	t.Helper()
	c, err := dial(n, place, to, patience)
	if err != nil {
		t.Fatalf("from %d: %v", place, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// call sends text and waits for the same text.
func call(c net.Conn, text string, timeout time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	return hear(c, text)
}

func hear(c net.Conn, text string) error {
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("got %q, want %q", got, text)
	}
	return nil
}

// answers fails the test if there is no answer.
func answers(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	if err := call(c, "hello", patience); err != nil {
		t.Errorf("%s to %s: %v", c.LocalAddr(), c.RemoteAddr(), err)
	}
	return time.Since(start)
}

// stalls fails the test if there is an answer.
func stalls(t *testing.T, c net.Conn) {
	t.Helper()
	if err := call(c, "stall", moment); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s to %s: %v, want a timeout", c.LocalAddr(), c.RemoteAddr(), err)
	}
}

// resumes fails the test if what stalled does not go on.
func resumes(t *testing.T, c net.Conn) {
	t.Helper()
	err := c.SetDeadline(time.Now().Add(patience))
	if err == nil {
		err = hear(c, "stall")
	}
	if err != nil {
		t.Errorf("%s to %s: %v", c.LocalAddr(), c.RemoteAddr(), err)
	}
	answers(t, c)
}

// packets is a UDP socket in a place.
func packets(t testing.TB, n fault.Net, place int) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := In(n.Namespace(place), func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(n.Addr(place), 0)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var serr error // room for a whole burst: nothing but the rules may lose packets; only root has it, and only Switch needs it
	if err := raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	}); err != nil || serr != nil && tier == fault.TierA {
		t.Fatal(err, serr)
	}
	return c
}

// burst sends count numbered datagrams under the rules, which must not touch what goes to the driver, and heals when they are
// through. It returns the numbers in the order in which they came.
func burst(t *testing.T, n fault.Net, from, to *net.UDPConn, count int, rules map[fault.Pair]fault.Rule) []int {
	t.Helper()
	set(t, n, rules)
	mark := packets(t, n, fault.Driver)
	var got []int
	for i := range count {
		send(t, from, to, []byte{byte(i >> 8), byte(i)})
		if i%50 == 49 || i == count-1 { // queues have bounds: go on when these have been through the rules
			send(t, from, mark, []byte("mark"))
			receive(t, mark)
			got = append(got, arrived(t, to)...)
		}
	}
	if s, ok := n.(*Switch); ok {
		drained(t, s, func() { got = append(got, arrived(t, to)...) })
	}
	set(t, n, nil)
	send(t, from, to, []byte{0xff, 0xff}) // behind all others
	for len(got) == 0 || got[len(got)-1] != 0xffff {
		got = append(got, receive(t, to))
	}
	return got[:len(got)-1]
}

// receive waits for a datagram and returns its number.
func receive(t *testing.T, c *net.UDPConn) int {
	t.Helper()
	buf := make([]byte, 16)
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ReadFromUDP(buf); err != nil {
		t.Fatal(err)
	}
	return int(buf[0])<<8 | int(buf[1])
}

// arrived are the numbers of the datagrams that are there already.
func arrived(t *testing.T, c *net.UDPConn) []int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	buf := make([]byte, 16)
	err = raw.Control(func(fd uintptr) {
		for {
			if _, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT); err != nil {
				if !errors.Is(err, unix.EAGAIN) {
					t.Error(err)
				}
				return
			}
			got = append(got, int(buf[0])<<8|int(buf[1]))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func send(t *testing.T, from, to *net.UDPConn, b []byte) {
	t.Helper()
	if _, err := from.WriteToUDP(b, to.LocalAddr().(*net.UDPAddr)); err != nil {
		t.Error(err)
	}
}

// drained waits until nothing is held back, and calls f now and then.
func drained(t *testing.T, s *Switch, f func()) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		f()
		var waiting int64
		for _, row := range s.ways {
			for _, w := range row {
				waiting += w.waiting.Load()
			}
		}
		if waiting == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d packets are still held back", waiting)
		}
	}
}

// median of some round trips on an open connection.
func median(t *testing.T, c net.Conn, calls int) time.Duration {
	t.Helper()
	answers(t, c)
	all := make([]time.Duration, 0, calls)
	for range calls {
		all = append(all, answers(t, c))
	}
	slices.Sort(all)
	return all[calls/2]
}

// between is a rule for one direction.
func between(from, to int, r fault.Rule) map[fault.Pair]fault.Rule {
	return map[fault.Pair]fault.Rule{{From: from, To: to}: r}
}
