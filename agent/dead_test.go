package agent

import (
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// TestRestoreOfADeadServer: the order to re-open a server that is dead, or dies under
// it, is refused for good at once.
func TestRestoreOfADeadServer(t *testing.T) {
	for _, test := range []struct {
		name  string
		under bool // it dies while it is being made writable
	}{{"dead before", false}, {"dies under it", true}} {
		t.Run(test.name, func(t *testing.T) {
			r := newLeased(t, fenced())
			_, err := r.fence(1)
			ok(t, err)
			if test.under {
				r.db.set(func() { r.db.hang["Promote"] = true })
			} else {
				r.db.set(r.db.die)
			}
			began := time.Now()
			refusal := make(chan error, 1)
			go func() { _, err := r.restore(1); refusal <- err }()
			if test.under {
				eventually(t, "it is being made writable", func() bool { return r.db.called("Promote") == 1 })
				r.db.set(r.db.die)
			}
			refused(t, <-refusal, api.ServerDead)
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}
