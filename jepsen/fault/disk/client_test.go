package disk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// The tests use volumes as nodes do: from other processes, which can be killed,
// and which may map files of a FUSE that this process serves.
const clientEnv = "ZERO_DISK_CLIENT"

var bucket = []byte("b")

func client(role string, args []string) int {
	run, ok := map[string]func([]string) error{"append": clientAppend, "put": clientPut, "keys": clientKeys, "hold": clientHold,
		"map": clientMap, "freeze": clientFreeze, "serve": clientServe}[role]
	if !ok {
		fmt.Println("no role", role)
		return 2
	}
	if err := run(args); err != nil {
		fmt.Println("error", err)
		return 1
	}
	return 0
}

// clientAppend: per line of the input, writes a block and syncs it.
func clientAppend(args []string) error {
	f, err := os.OpenFile(args[0], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Println("open")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if _, err := f.Write(bytes.Repeat([]byte("x"), 4096)); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		fmt.Println("synced")
	}
	return nil
}

func openBolt(path string, noSync bool) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 300 * time.Millisecond, NoSync: noSync, NoFreelistSync: true})
}

// clientPut: per line of the input, which is a key, one transaction.
func clientPut(args []string) error {
	noSync := len(args) > 1 && args[1] == "nosync"
	db, err := openBolt(args[0], noSync)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	fmt.Println("open")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		err := db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucket)
			if err != nil {
				return err
			}
			return b.Put(lines.Bytes(), bytes.Repeat([]byte("v"), 100))
		})
		if err != nil {
			return fmt.Errorf("put: %w", err)
		}
		fmt.Println("acked")
	}
	return db.Close()
}

// clientKeys checks the database and counts its keys.
func clientKeys(args []string) error {
	db, err := openBolt(args[0], false)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer db.Close()
	n := 0
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			return err
		}
		b := tx.Bucket(bucket)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			if len(v) != 100 {
				return fmt.Errorf("key %q has a value of %d bytes", k, len(v))
			}
			n++
			return nil
		})
	})
	if err != nil {
		return err
	}
	fmt.Println("keys", n)
	return nil
}

// clientHold keeps a file open until the input ends.
func clientHold(args []string) error {
	f, err := os.OpenFile(args[0], os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Println("open")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// clientMap writes and reads through a mapping of another open of the file.
func clientMap(args []string) error {
	w, err := os.OpenFile(args[0], os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer w.Close()
	const size = 64 << 10
	if err := w.Truncate(size); err != nil {
		return err
	}
	r, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer r.Close()
	m, err := unix.Mmap(int(r.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	for i := range 64 {
		data := bytes.Repeat([]byte{byte(i + 1)}, 700) // across pages
		off := int64(i * 997 % (size - len(data)))
		if _, err := w.WriteAt(data, off); err != nil {
			return err
		}
		if err := unix.Fdatasync(int(w.Fd())); err != nil {
			return err
		}
		if !bytes.Equal(m[off:off+700], data) {
			return fmt.Errorf("round %d: the mapping does not show what was written", i)
		}
	}
	if err := unix.Munmap(m); err != nil {
		return err
	}
	fmt.Println("coherent")
	return nil
}

// proc is a client that runs.
type proc struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	ended chan struct{} // closed when it was reaped
}

func start(t *testing.T, role string, args ...string) *proc {
	t.Helper()
	return startIn(t, nil, role, args...)
}

func startIn(t *testing.T, attr *syscall.SysProcAttr, role string, args ...string) *proc {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	// The race detector lets a program sleep for a second before it exits.
	cmd.Env = append(os.Environ(), clientEnv+"="+role, "GORACE=atexit_sleep_ms=0")
	cmd.Dir = "/"
	cmd.SysProcAttr = attr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	must(t, cmd.Start())
	p := &proc{t: t, cmd: cmd, in: in, lines: make(chan string, 1024), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
		close(p.lines)
		cmd.Wait()
	}()
	// Before the volume is closed.
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		select {
		case <-p.ended:
		case <-time.After(bound):
			t.Errorf("%s does not end", role)
			return
		}
		if trouble.Len() > 0 {
			t.Logf("%s says: %s", role, trouble.String())
		}
	})
	return p
}

// say gives it a line.
func (p *proc) say(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil && !errors.Is(err, syscall.EPIPE) {
		p.t.Fatal(err)
	}
}

// line is what it says next; "" when it has ended.
func (p *proc) line() string {
	p.t.Helper()
	select {
	case l := <-p.lines:
		return l
	case <-time.After(bound):
		p.t.Fatal("the client says nothing")
		return ""
	}
}

// silent fails the test if it has said something.
func (p *proc) silent() {
	p.t.Helper()
	select {
	case l := <-p.lines:
		p.t.Fatalf("the client says %q, it should wait", l)
	default:
	}
}

func (p *proc) want(want string) {
	p.t.Helper()
	if l := p.line(); !strings.Contains(l, want) || (want == "" && l != "") {
		p.t.Fatalf("the client says %q, want %q", l, want)
	}
}

// put makes keys from..to-1 and wants them acknowledged.
func (p *proc) put(from, to int) {
	p.t.Helper()
	for i := from; i < to; i++ {
		p.say("key-" + strconv.Itoa(i))
		p.want("acked")
	}
}

func (p *proc) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	p.wait()
}

func (p *proc) wait() {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(bound):
		p.t.Fatal("the client does not end")
	}
}

// stuck waits until a thread of it waits in the kernel uninterruptibly.
func (p *proc) stuck() {
	p.t.Helper()
	eventually(p.t, "no thread hangs", func() bool { return inD(p.cmd.Process.Pid) })
}

func inD(pid int) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if _, after, ok := strings.Cut(string(text), ") "); err == nil && ok && strings.HasPrefix(after, "D") {
			return true
		}
	}
	return false
}

// keys counts the keys of a database, or says why it cannot.
func keys(t *testing.T, path string) (int, string) {
	t.Helper()
	p := start(t, "keys", path)
	l := p.line()
	p.wait()
	n, err := strconv.Atoi(strings.TrimPrefix(l, "keys "))
	if err != nil {
		return 0, l
	}
	return n, ""
}
