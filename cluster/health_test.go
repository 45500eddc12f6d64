package cluster

import (
	"context"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
)

// unhealthy are the checks that fail.
func unhealthy(t *testing.T, n *Node) (failed map[string]error, live bool) {
	t.Helper()
	failed, live = map[string]error{}, true
	for _, c := range n.Checks() {
		if err := c.Run(context.Background()); err != nil {
			failed[c.Name] = err
			live = live && !c.Live
		}
	}
	return failed, live
}

func TestHealthOfANode(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	lonely := f.mustOpen(f.config("k1", 3, f.reserve("k2", "k3")...))
	if _, live := unhealthy(t, lonely); !live {
		t.Error("a keeper that waits for others is not live")
	}
	f.eventually("it says what it waits for", func() bool {
		failed, _ := unhealthy(t, lonely)
		return failed["member"] != nil && strings.Contains(failed["member"].Error(), "1 of 3")
	})

	nodes := newFleet(t).group(3)
	leaders := 0
	for _, n := range nodes {
		f.eventually("ready", func() bool { failed, _ := unhealthy(t, n); return len(failed) == 0 })
		switch err := n.Leading(); {
		case err == nil:
			leaders++
		case !strings.Contains(err.Error(), "ask 127.0.0.1:") && !strings.Contains(err.Error(), "leader"):
			t.Errorf("a follower says: %v", err)
		}
		metrics := scrape(t, n)
		for _, name := range []string{
			"term", "applied_index", "commit_index", "is_leader", "peers", "voters", "ready", "raft_db_bytes", "leader_contact_seconds",
			"store_write_seconds_count", "snapshot_bytes", "proofs_total", "leader_changes_total",
		} {
			if !strings.Contains(metrics, "\nzero_cluster_"+name+" ") {
				t.Errorf("no metric zero_cluster_%s", name)
			}
		}
	}
	if leaders > 1 {
		t.Errorf("%d leaders", leaders)
	}

	lonely.fail(api.ErrNotReady)
	if _, live := unhealthy(t, lonely); live {
		t.Error("a keeper that ended is live")
	}
}
