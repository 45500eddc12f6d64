package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Exit codes of a daemon that failed: the second says that a restart cannot mend
// it.
const (
	failedDaemon = 1
	noRestart    = 78
)

// refusalTime bounds how long a keeper takes to refuse its directory.
const refusalTime = 20 * time.Second

// directories: a data directory that cannot be right is refused, with a message
// that says what is wrong and what to do, and the group does not change.
func (q *quorum) directories(t *testing.T, ctx context.Context) {
	keepers := q.f.Keepers()
	k3 := keepers[2]
	data := func(name string) string { return filepath.Join(q.f.Dir(), name, "data") }

	t.Run("opened twice", func(t *testing.T) {
		q.refuses(t, ctx, failedDaemon, data("k1"), "k1", "another process has it open", data("k1"))
	})
	if err := k3.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	t.Run("wiped log", func(t *testing.T) {
		log, kept := filepath.Join(data("k3"), "raft.db"), filepath.Join(q.f.Dir(), "raft.db")
		if err := os.Rename(log, kept); err != nil {
			t.Fatal(err)
		}
		q.refuses(t, ctx, noRestart, data("k3"), "k3", "the log is gone", data("k3"))
		if _, err := os.Stat(log); !os.IsNotExist(err) {
			t.Errorf("the refused keeper made another log: %v", err)
		}
		if err := os.Rename(kept, log); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("wiped directory under the old name", func(t *testing.T) {
		q.refuses(t, ctx, noRestart, filepath.Join(q.f.Dir(), "empty"), "k3", "the name k3 belongs to", "remove the member")
	})
	t.Run("of another cluster", func(t *testing.T) {
		q.refuses(t, ctx, noRestart, q.foreign(t, ctx), "stranger", "the directory is of cluster")
	})
	if err := k3.Start(ctx); err != nil {
		t.Fatal(err)
	}
	members := zeroctl(t, ctx, q.f, exitOK, "member", "list").Stdout
	if n := strings.Count(members, "voter"); n != 3 || strings.Contains(members, "stranger") || strings.Contains(members, "unreachable") {
		t.Errorf("the group is not as it was:\n%s", members)
	}
}

// refuses starts a keeper on a directory and fails the test unless it ends soon
// with that exit code, and with each part in what it says.
func (q *quorum) refuses(t *testing.T, ctx context.Context, exit int, dir, name string, parts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, refusalTime)
	defer cancel()
	begin := time.Now()
	result := run(t, ctx, q.f, "zerokeeper", append(q.flags(t, dir, name), "--bootstrap-expect", "3", "--join", q.f.KeeperAddrs())...)
	said := result.Stdout + result.Stderr
	if result.Code != exit {
		t.Errorf("exit %d after %v, want %d:\n%s", result.Code, time.Since(begin).Round(time.Millisecond), exit, said)
	}
	has(t, "what the keeper says", said, parts...)
}

// flags are those of a keeper beside the group, on ports of its own, which come
// last.
func (q *quorum) flags(t *testing.T, dir, name string) []string {
	t.Helper()
	ports, err := q.f.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	address := func(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
	return []string{"--name", name, "--data", dir, "--listen", address(ports[0]), "--http", address(ports[1])}
}

// foreign makes the data directory of a cluster of one keeper.
func (q *quorum) foreign(t *testing.T, ctx context.Context) (dir string) {
	t.Helper()
	dir = filepath.Join(q.f.Dir(), "foreign")
	p := q.keeper(t, ctx, "stranger", append([]string{"--bootstrap-expect", "1"}, q.flags(t, dir, "stranger")...)...)
	if err := p.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	return dir
}
